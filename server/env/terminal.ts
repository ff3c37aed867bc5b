/**
 * The terminal of a command that goes on until its user has seen enough: a screen to draw on, and a pause that a key, a
 * signal or a new size of the window ends.
 *
 *   open ──draw, pause, draw, pause ...──> ended by q, Ctrl-C or a signal ──close──> the screen as it was
 *
 * Invariants: `close` gives the screen and the keyboard back, also when the command fails; a pause keeps the process
 * alive, unlike a timer of the clock.
 */

export interface Terminal {
  /** Aborted once the user has seen enough. */
  readonly ended: AbortSignal;
  readonly size: { readonly rows: number; readonly columns: number };
  /** Shows these lines and nothing else. */
  draw(lines: readonly string[]): void;
  /** Resolves after so long, or sooner when there is something to draw anew or the end has come. */
  pause(ms: number): Promise<void>;
  close(): void;
}

/** `\x1b[` begins a command of the terminal, as ECMA-48 and xterm have them. */
const OTHER_SCREEN = '\x1b[?1049h\x1b[?25l';
const OWN_SCREEN = '\x1b[?25h\x1b[?1049l';
const TO_TOP = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const CTRL_C = '\x03';

const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const ROWS_DEFAULT = 24;
const COLUMNS_DEFAULT = 100;

/** Without the screen there is nothing to draw on, and only pauses make sense. */
export function openTerminal(
  input: NodeJS.ReadStream,
  output: NodeJS.WriteStream,
  { takesScreen }: { readonly takesScreen: boolean },
): Terminal {
  const ending = new AbortController();
  let wake = (): void => undefined;
  const end = (): void => {
    ending.abort();
    wake();
  };
  const resized = (): void => wake();
  const pressed = (keys: Buffer): void => {
    if (/[qQ]/.test(keys.toString()) || keys.includes(CTRL_C)) end();
  };
  const readsKeys = takesScreen && input.isTTY;
  if (takesScreen) output.write(OTHER_SCREEN);
  if (readsKeys) input.setRawMode(true).on('data', pressed);
  for (const signal of endSignals) process.once(signal, end);
  output.on('resize', resized);
  return {
    ended: ending.signal,
    get size() {
      return { rows: output.rows ?? ROWS_DEFAULT, columns: output.columns ?? COLUMNS_DEFAULT };
    },
    draw(lines) {
      // Cleared before it is written: behind a full line the cursor stands on the last character.
      const shown = lines.map((line) => `${CLEAR_LINE}${line}`).join('\r\n');
      output.write(`${TO_TOP}${shown}${lines.length < this.size.rows ? `\r\n${CLEAR_BELOW}` : ''}`);
    },
    pause(ms) {
      if (ending.signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(() => wake(), ms);
        wake = () => {
          clearTimeout(timer);
          wake = () => undefined;
          resolve();
        };
      });
    },
    close() {
      output.off('resize', resized);
      for (const signal of endSignals) process.off(signal, end);
      if (readsKeys) input.off('data', pressed).setRawMode(false).pause();
      if (takesScreen) output.write(OWN_SCREEN);
    },
  };
}
