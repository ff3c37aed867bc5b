/**
 * The examples of the client's own documentation, run: each by itself, against rows 0 to 7 of a real server.
 *
 *   expression; // [1, 2]                      the comment is the value, which is compared
 *   expression; // BigInt64Array [1n, 2n]      the same, as a typed array
 *   anything;   // other words                 a comment
 */
import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compileFunction } from 'node:vm';
import ts from 'typescript';
import { tableFromArrays } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as sdk from '../../ts-sdk/index.ts';
import { connect, dense, ragged, scalar, text, type Client } from '../../ts-sdk/index.ts';
import { startServer, type RealServer } from './real.ts';

const folder = new URL('../../ts-sdk/', import.meta.url);

interface Example {
  readonly name: string;
  readonly code: string;
}

const examples: Example[] = readdirSync(folder)
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) => {
    const source = readFileSync(new URL(file, folder), 'utf8');
    return [...source.matchAll(/```ts\n(.*?)```/gs)].map((match) => ({
      name: `${file}:${source.slice(0, match.index).split('\n').length}`,
      code: match[1].replace(/^ *\* ?/gm, ''),
    }));
  });

type Run = (...values: unknown[]) => Promise<void>;

/** Turns `expression; // value` into a comparison. */
function compared(code: string): string {
  return code.replace(
    /^( *)([^=\n]*?); \/\/ (\w+Array )?(\[.*\]|'.*'|[\d.]+)$/gm,
    (_, indent: string, expression: string, array: string | undefined, value: string) => {
      return `${indent}expect(${expression}).toEqual(${array === undefined ? value : `${array}.from(${value})`});`;
    },
  );
}

function runnable(code: string): string {
  const target = ts.ScriptTarget.ES2022;
  return ts.transpileModule(`async function example() {\n${compared(code)}\n}`, { compilerOptions: { target } })
    .outputText;
}

let server: RealServer;
let tq: Client;

beforeAll(async () => {
  server = await startServer();
  tq = connect({ url: server.url });
});

afterAll(async () => {
  await tq.close();
  await server.stop();
});

describe('examples', () => {
  it('are found', () => {
    expect(examples.length).toBeGreaterThan(9);
  });

  it.each(examples)('$name', async ({ code }) => {
    for (const { name } of await tq.partitions()) await (await tq.partition(name)).drop();
    const train = await tq.partition('train', {
      fields: {
        prompt: text(),
        reward: scalar('float32'),
        response: ragged('int64'),
        advantage: ragged('float32'),
        embedding: ragged('float32', [null, 64]),
        image: dense('float32', [28, 28]),
      },
      groupSize: 8,
    });
    const ids = Array.from({ length: 8 }, (_, id) => id);
    await train.put({ reward: Float32Array.from(ids, (id) => id / 4), prompt: ids.map(String) }, { ids });
    await train.put({ response: ids.map((id) => Array.from({ length: id }, () => id)) }, { ids });
    await train.put({ embedding: ids.map(() => new Float32Array(192)) }, { ids });
    // Consumers end when a partition is sealed and drained; other examples put new rows.
    if (/claim\(|consume\(/.test(code)) await train.seal();
    if (code.includes('connect(')) await train.drop();
    const policy = await tq.partition('policy', { fields: { weights: ragged('float32') } });
    const last = await policy.put({ weights: [[1]] }, { ids: [1] });
    await policy.put({ weights: [[2]] }, { ids: [2] });
    const scope: Record<string, unknown> = {
      ...sdk,
      connect: () => connect({ url: server.url }),
      directory: mkdtempSync(join(tmpdir(), 'tq-example-')),
      expect,
      last,
      policy,
      tableFromArrays,
      score: (response: BigInt64Array) => response.length,
      console: { log: () => undefined },
    };
    const names = Object.keys(scope);
    const make = compileFunction(`${runnable(code)}\nreturn example();`, [...names, 'tq', 'train']) as Run;
    await make(...names.map((name) => scope[name]), tq, train);
  });
});
