/** A server that answers from a table, and a terminal whose time passes at once. */
import { AskError, type Ask } from '../../../server/env/ask.ts';
import type { Terminal } from '../../../server/env/terminal.ts';
import { printableOutput, type Console } from '../../../server/client/console.ts';
import { Server } from '../../../server/client/server.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/** `METHOD path` to an answer, or to several that are given one after the other, the last of them again and again. */
export type Answers = Readonly<Record<string, unknown>>;

/** Answers that are not 200. */
export class Refused {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, body: unknown) {
    this.status = status;
    this.body = body;
  }
}

export interface FakeConsole extends Console {
  readonly asked: Asked[];
  readonly text: { out: string; err: string };
}

export const URL = 'http://fake:1';

export function fakeConsole(answers: Answers, { json = false, token = '' } = {}): FakeConsole {
  const asked: Asked[] = [];
  const given = new Map<string, number>();
  const ask: Ask = ({ method, url, headers, body }) => {
    const path = url.slice(URL.length);
    asked.push({ method, path, headers, ...(body === undefined ? {} : { body: JSON.parse(body) }) });
    const name = `${method} ${path}`;
    if (!(name in answers)) return Promise.reject(new AskError('ECONNREFUSED', name));
    const list = Array.isArray(answers[name]) ? answers[name] : [answers[name]];
    const place = given.get(name) ?? 0;
    given.set(name, place + 1);
    const answer: unknown = list[Math.min(place, list.length - 1)];
    if (answer instanceof Error) return Promise.reject(answer);
    const { status, body: told } = answer instanceof Refused ? answer : { status: 200, body: answer };
    return Promise.resolve({ status, body: typeof told === 'string' ? told : JSON.stringify(told) });
  };
  const text = { out: '', err: '' };
  const output = (name: 'out' | 'err') =>
    printableOutput({ write: (part: string) => (text[name] += part), columns: 100 });
  return { server: new Server(ask, { url: URL, token }), out: output('out'), err: output('err'), json, asked, text };
}

/** Ends after so many pauses; `frames` are what was drawn. */
export function fakeTerminal(
  pauses: number,
  size = { rows: 40, columns: 120 },
): Terminal & { readonly frames: string[][]; closed: boolean; nowMs: number } {
  const ending = new AbortController();
  let left = pauses;
  return {
    frames: [],
    closed: false,
    nowMs: 0,
    ended: ending.signal,
    size,
    draw(lines) {
      this.frames.push([...lines]);
    },
    pause(ms) {
      this.nowMs += ms;
      left -= 1;
      if (left <= 0) ending.abort();
      return Promise.resolve();
    },
    close() {
      this.closed = true;
    },
  };
}
