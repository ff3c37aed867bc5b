/**
 * Tables of bad requests, one line a case, and the trial of each.
 *
 *   code               METHOD target                            body            headers
 *   json_invalid       POST /v1/partitions/train/rows:read      {"ids":[-1]}
 *   header_invalid     POST /v1/partitions/train/rows           @good           tq-checksum: xyz
 *
 * Columns are parted by two spaces or more; `-` is no body, `@name` one of bodies.ts; `{word}` is one of the world's;
 * `-` as a header's value takes the header out; `a|b` are alternatives of codes. A line that begins with # is a remark.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { errors, type ErrorCode } from '@transfer-queue/core/protocol';
import { bodyOf } from './bodies.ts';
import { Connection, type Request } from './client.ts';
import { judge, judgeHead } from './judge.ts';
import type { World } from './world.ts';

export interface Case {
  readonly line: string;
  readonly codes: readonly ErrorCode[];
  readonly request: Request;
}

const tables = new URL('tables/', import.meta.url);

export const tableNames = readdirSync(tables).map((file) => file.replace(/\.txt$/, ''));

/** The lines of a table; the first word of each is its code. */
export function readTable(name: string): string[] {
  const lines = readFileSync(new URL(`${name}.txt`, tables), 'utf8').split('\n');
  return lines.filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

export function parseCase(line: string, words: ReadonlyMap<string, string>): Case {
  const [code, request, body = '-', ...headers] = line.trim().split(/ {2,}/);
  const [method, target] = request.split(' ');
  const codes = code.split('|').map((one) => {
    if (!Object.hasOwn(errors, one)) throw new Error(`no such code: ${line}`);
    return one as ErrorCode;
  });
  const sent = body === '-' ? undefined : bodyOf(fill(body, words));
  const given = headers.map((header): [string, string | null] => {
    const [, name, value] = /^([a-z-]+): (.*)$/.exec(header)!;
    return [name, value === '-' ? null : fill(value, words)];
  });
  const all = { ...(sent === undefined ? {} : { 'content-type': sent.mediaType }), ...Object.fromEntries(given) };
  return { line, codes, request: { method, target: fill(target, words), headers: all, body: sent?.bytes } };
}

function fill(text: string, words: ReadonlyMap<string, string>): string {
  return text.replace(/\{(\w+)\}/g, (_, word: string) => {
    const value = words.get(word);
    if (value === undefined) throw new Error(`the world has no {${word}}`);
    return value;
  });
}

/** Sends one bad request; returns what is wrong with the answer, the state after it, or the server. */
export async function tryCase(world: World, { codes, request }: Case): Promise<string[]> {
  const before = await world.state();
  const connection = await Connection.open(world.url);
  try {
    const answer = await connection.ask(request);
    const problems = request.method === 'HEAD' ? judgeHead(answer, codes) : judge(answer, codes);
    if (answer !== null && !answer.closes) {
      const next = await connection.ask({ method: 'GET', target: '/healthz' });
      if (next?.status !== 200) problems.push('the connection does not live on, and nobody said so');
    }
    if ((await world.state()) !== before) problems.push('the state changed');
    return problems;
  } finally {
    connection.close();
  }
}
