/**
 * What the commands that ask a running server have in common: where they write, and how they end.
 *
 * Invariant: what a server says reaches a terminal only through `printable`.
 */
import { AskError } from '../env/ask.ts';
import type { Output } from '../inspect/print.ts';
import { ServerRefusal, type Server } from './server.ts';

export const EXIT_OK = 0;
/** The server refused, or did not answer. */
export const EXIT_REFUSED = 1;

export interface Console {
  readonly server: Server;
  readonly out: Output;
  readonly err: Output;
  readonly json: boolean;
}

/** Runs a command; what the server or the network says against it is one line, and an exit code. */
export async function asking({ server, err }: Console, command: () => Promise<void>): Promise<number> {
  try {
    await command();
    return EXIT_OK;
  } catch (error) {
    err.write(`tq: ${complaintOf(error, server)}\n`);
    return EXIT_REFUSED;
  }
}

/** In words; what is neither a refusal nor a silence is a bug, and thrown on. */
export function complaintOf(error: unknown, { url }: Server): string {
  if (error instanceof ServerRefusal) return error.message;
  if (error instanceof AskError) return `cannot ask ${url}: ${error.message}`;
  throw error;
}

/**
 * Without what steers a terminal, or hides in it: tags are anybody's text. The escapes are those of JSON, in which such
 * characters stand in strings only, so that it means the same afterwards.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\n') return character;
    return Array.from({ length: character.length }, (_, i) => escapeOf(character.charCodeAt(i))).join('');
  });
}

function escapeOf(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** Lets nothing else through. */
export function printableOutput(output: Output): Output {
  return {
    write: (text) => output.write(printable(text)),
    get columns() {
      return output.columns;
    },
  };
}

/** One line of JSON, as the server gave it. */
export function printJson({ out }: Console, value: unknown): void {
  out.write(`${JSON.stringify(value)}\n`);
}
