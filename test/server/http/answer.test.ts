/** Small answers are put together in memory that is used again: never while the system has not taken all of it. */
import { expect, test } from 'vitest';
import { COPIED_SIZE_MAX, writeAnswer } from '../../../server/http/answer.ts';
import { FakeSocket } from './fake.ts';

/** Keeps what it was given, as the system does until it has taken all bytes. */
class KeepingSocket extends FakeSocket {
  readonly kept: Uint8Array[] = [];

  override writeOne(part: Uint8Array): void {
    this.kept.push(part);
    super.writeOne(part);
  }
}

/** Takes all bytes at once. */
class QuickSocket extends KeepingSocket {
  override unsentBytes(): number {
    return 0;
  }
}

function answered(socket: KeepingSocket, fill: string, size = 100): Uint8Array {
  writeAnswer(socket, 'head ', [Buffer.alloc(size, fill)], size);
  return socket.kept.at(-1)!;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

test('an answer that waits is left alone by those that follow', () => {
  const slow = answered(new KeepingSocket(), 'a');
  const next = answered(new QuickSocket(), 'b');
  expect(textOf(slow)).toBe(`head ${'a'.repeat(100)}`);
  expect(textOf(next)).toBe(`head ${'b'.repeat(100)}`);
});

test('an answer that was sent gives its memory to the next', () => {
  const socket = new QuickSocket();
  const first = answered(socket, 'a');
  const second = answered(socket, 'b');
  expect(second.buffer).toBe(first.buffer);
  expect(textOf(second)).toBe(`head ${'b'.repeat(100)}`);
});

test('the body of a small answer may change once it was sent, with a head of any size', () => {
  for (const head of ['', 'x'.repeat(20_000)]) {
    const socket = new KeepingSocket();
    const body = Buffer.alloc(COPIED_SIZE_MAX, 'c');
    writeAnswer(socket, head, [body], body.length);
    body.fill('d');
    expect(textOf(socket.kept[0])).toBe(head + 'c'.repeat(COPIED_SIZE_MAX));
  }
});
