/**
 * The examples of the client's own documentation, run: each by itself, against rows 0 to 7 of a real server. Values in
 * comments are compared, see ../support/examples.ts.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { compileFunction } from 'node:vm';
import ts from 'typescript';
import { tableFromArrays } from 'apache-arrow';
import { afterAll, describe, expect, it } from 'vitest';
import * as sdk from '../../ts-sdk/index.ts';
import { connect, dense, ragged, scalar, text } from '../../ts-sdk/index.ts';
import { compared } from '../support/examples.ts';
import { temporaryDirectory } from '../support/process.ts';
import { realRig } from './real.ts';

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

function runnable(code: string): string {
  const target = ts.ScriptTarget.ES2022;
  return ts.transpileModule(`async function example() {\n${compared(code)}\n}`, { compilerOptions: { target } })
    .outputText;
}

const real = realRig();
const directory = temporaryDirectory('example');

afterAll(() => directory.remove());

describe('examples', () => {
  it('are found', () => {
    expect(examples.length).toBeGreaterThan(9);
  });

  it.each(examples)('$name', async ({ code }) => {
    const { tq, url } = real;
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
      connect: () => connect({ url }),
      directory: directory.path,
      equal: (value: unknown, wanted: unknown) => expect(value).toEqual(wanted),
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
