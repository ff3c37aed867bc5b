/** The terminal of a command that goes on: what it writes, what ends it, and that it leaves everything as it was. */
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { openTerminal } from '../../../server/env/terminal.ts';

class FakeInput extends EventEmitter {
  readonly isTTY = true;
  modes: (boolean | string)[] = [];

  setRawMode(isRaw: boolean): this {
    this.modes.push(isRaw);
    return this;
  }

  pause(): this {
    this.modes.push('paused');
    return this;
  }
}

class FakeOutput extends EventEmitter {
  rows = 3;
  columns = 10;
  text = '';

  write(text: string): void {
    this.text += text;
  }
}

function open(takesScreen = true) {
  const [input, output] = [new FakeInput(), new FakeOutput()];
  const streams = [input as unknown as NodeJS.ReadStream, output as unknown as NodeJS.WriteStream] as const;
  const signals = (): number => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');
  const before = signals();
  const terminal = openTerminal(...streams, { takesScreen });
  const isClean = (): boolean => signals() === before && input.listenerCount('data') === 0;
  return { input, output, terminal, isClean, rest: () => output.listenerCount('resize') };
}

const HOUR_MS = 3_600_000;

test('takes the screen and the keys, and gives both back', () => {
  const { input, output, terminal, isClean, rest } = open();
  expect(output.text).toBe('\x1b[?1049h\x1b[?25l');
  expect(input.modes).toEqual([true]);
  output.text = '';
  terminal.close();
  expect(output.text).toBe('\x1b[?25h\x1b[?1049l');
  expect([input.modes, isClean(), rest()]).toEqual([[true, false, 'paused'], true, 0]);
});

test('without the screen writes nothing and takes no key', () => {
  const { input, output, terminal, isClean } = open(false);
  terminal.close();
  expect([output.text, input.modes, isClean()]).toEqual(['', [], true]);
});

test('draws over what was there: each line cleared first, the rest below when there is any', () => {
  const { output, terminal } = open();
  output.text = '';
  terminal.draw(['one', 'two']);
  expect(output.text).toBe('\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[J');
  output.text = '';
  terminal.draw(['one', 'two', 'three']);
  expect(output.text).toBe('\x1b[H\x1b[Kone\r\n\x1b[Ktwo\r\n\x1b[Kthree');
  terminal.close();
});

test.each([
  ['q', 'q'],
  ['Ctrl-C', '\x03'],
])('ends by %s, in the middle of a pause; later ones are over at once', async (_, key) => {
  const { input, terminal } = open();
  const pause = terminal.pause(HOUR_MS);
  input.emit('data', Buffer.from('x'));
  expect(terminal.ended.aborted).toBe(false);
  input.emit('data', Buffer.from(key));
  await pause;
  expect(terminal.ended.aborted).toBe(true);
  await terminal.pause(HOUR_MS);
  terminal.close();
});

test('ends by a signal', async () => {
  const { terminal } = open(false);
  const pause = terminal.pause(HOUR_MS);
  process.emit('SIGTERM');
  await pause;
  expect(terminal.ended.aborted).toBe(true);
  terminal.close();
});

test('draws anew when the size changes: a pause ends, and nothing else', async () => {
  const { output, terminal } = open();
  const pause = terminal.pause(HOUR_MS);
  Object.assign(output, { rows: 50, columns: 200 });
  output.emit('resize');
  await pause;
  expect([terminal.ended.aborted, terminal.size]).toEqual([false, { rows: 50, columns: 200 }]);
  await terminal.pause(1);
  terminal.close();
});
