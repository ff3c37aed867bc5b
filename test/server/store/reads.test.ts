/** Reads through locate, answer and windows against a plain model, from memory and from disk; and what they hold. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { walkStream } from '@transfer-queue/core/arrow';
import { CHECKSUM_BLOCK_SIZE, TAIL_SIZE } from '@transfer-queue/core/protocol';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows, drop } from '../../../server/engine/partitions.ts';
import { composeAnswer } from '../../../server/store/answer.ts';
import { locate, type Located } from '../../../server/store/locate.ts';
import { AnswerWindows, WINDOW_SIZE_MAX } from '../../../server/store/windows.ts';
import type { Run } from '../../../server/tier/arena.ts';
import { bodyOf, core, declareTest, openTestNode, putBody, putText, valuesOf } from '../../support/node.ts';
import { settle, simEnv, SimFs } from '../../support/sim_env.ts';

const DIR = '/data';
/** Four blocks of cache and five frames: little enough that most reads are cold. */
const MEMORY_SIZE = 9 << 20;
const SLOTS = 4;
const FIELDS = ['a', 'b', 'c'];

async function newNode(): Promise<Node> {
  const { node } = await openTestNode(simEnv(SimFs.withReserve(DIR)), DIR, MEMORY_SIZE);
  await declareTest(node, 'p');
  return node;
}

function found(node: Node, ids: readonly number[], names: readonly string[]): Promise<Located> {
  const partition = node.partition('p');
  const fields = names.map((name) => partition.fieldsByName.get(name)!);
  return locate(node.parts.state.store, partition, { ids: Float64Array.from(ids), fields });
}

interface Sent {
  readonly bytes: Buffer;
  readonly windows: number[];
}

/** Sends the answer as the HTTP layer does; stops after `windowsMax` windows as when the client went away. */
async function send(node: Node, located: Located, windowsMax = Infinity): Promise<Sent> {
  const { reader, core: hashing } = node.parts;
  let windows: AnswerWindows | null = null;
  const parts: Buffer[] = [];
  const sizes: number[] = [];
  try {
    const pieces = await composeAnswer(reader, located, { answerSizeMax: 1 << 30, attempts: null });
    windows = new AnswerWindows({ reader, located, pieces, core: hashing, tail: true });
    await windows.prepare();
    for (let sent = 0; sent < windows.size && sizes.length < windowsMax;) {
      const window = await windows.next();
      const bytes = Buffer.concat(window.parts);
      window.release();
      sizes.push(bytes.length);
      parts.push(bytes);
      sent += bytes.length;
    }
    return { bytes: Buffer.concat(parts), windows: sizes };
  } finally {
    windows?.close();
    located.close();
  }
}

function valuesIn(stream: Buffer): Record<string, string[]> {
  const walked = walkStream(new Uint8Array(stream.subarray(0, stream.length - TAIL_SIZE)));
  if (!walked.ok) throw new Error(walked.message);
  const [batch] = walked.batches;
  const columns = walked.fields.map(({ name }, i) => {
    const [offsetsAt, , valuesAt] = batch.columns[i].regions;
    const offset = (row: number): number => stream.readInt32LE(offsetsAt + 4 * row);
    const value = (_: unknown, row: number): string =>
      stream.toString('latin1', valuesAt + offset(row), valuesAt + offset(row + 1));
    return [name, Array.from({ length: batch.rows }, value)];
  });
  return Object.fromEntries(columns) as Record<string, string[]>;
}

function checkTail(stream: Buffer): void {
  const hasher = core.bodyHasher();
  hasher.update(stream.subarray(0, stream.length - TAIL_SIZE));
  expect(stream.subarray(stream.length - 8).equals(hasher.finish())).toBe(true);
}

/** Whether nothing but the cache itself is held: no pin of a frame, no pin of a slot. */
async function expectNothingHeld(node: Node): Promise<void> {
  const { arena, blocks } = node.parts;
  expect(arena.heldSize).toBe(SLOTS * CHECKSUM_BLOCK_SIZE);
  const none = { offset: 0, length: 1, blocks: Buffer.alloc(8), segmentId: 0, read: () => Promise.resolve(0) };
  const slots = Array.from({ length: SLOTS }, (_, i) => blocks.take({ ...none, key: -1 - i }, 0));
  expect(slots.filter((slot) => slot === null)).toEqual([]);
  for (const slot of slots) {
    await slot!.loaded.catch(() => undefined);
    blocks.unpin(slot!);
  }
  await settle();
}

/** Leaves nothing of what is cached in frames: reads are cold afterwards. */
function evictAll({ parts: { arena } }: Node): void {
  const runs: Run[] = [];
  for (let run = arena.take(1); run !== null; run = arena.take(1)) runs.push(run);
  for (const run of runs) arena.release(run);
}

/** A value that says whose it is, with a length of its own. */
function valueOf(id: number, field: string, version: number, size: number): string {
  return `${id}/${field}/${version}/`.padEnd(size, String(version % 10));
}

const size = fc.oneof(
  { weight: 6, arbitrary: fc.nat(3_000) },
  { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 700_000 }) },
  { weight: 1, arbitrary: fc.constant(0) },
);
const commands = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        ids: fc.uniqueArray(fc.nat(8), { minLength: 1, maxLength: 6 }),
        field: fc.constantFrom(...FIELDS),
        size,
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), ids: fc.uniqueArray(fc.nat(8)) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('read' as const),
        ids: fc.array(fc.nat(8), { maxLength: 12 }),
        fields: fc.subarray(FIELDS, { minLength: 1 }),
        windowsMax: fc.constantFrom(1, 2, Infinity, Infinity),
      }),
    },
  ),
  { minLength: 20, maxLength: 50 },
);

test('answers are what a model of rows says, whole or cut short, and hold nothing afterwards', async () => {
  let cold = 0;
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const node = await newNode();
      await putText(node, 'p', [30], 'a', ['a']);
      for (const field of FIELDS.slice(1)) await putText(node, 'p', [30], field, [field]);
      const rows = new Map<number, Map<string, string>>();
      for (const [version, command] of sequence.entries()) {
        if (command.kind === 'put') {
          const { ids, field } = command;
          const values = ids.map((id) => valueOf(id, field, version, command.size));
          await putText(node, 'p', ids, field, values);
          for (const [i, id] of ids.entries()) rows.set(id, (rows.get(id) ?? new Map()).set(field, values[i]));
        } else if (command.kind === 'delete') {
          await deleteRows(node, 'p', { ids: Float64Array.from(command.ids), requestId: '' });
          for (const id of command.ids) rows.delete(id);
        } else {
          if (version % 2 === 0) evictAll(node);
          await checkRead(node, command, rows);
        }
      }
      await expectNothingHeld(node);
      cold += node.parts.blocks.misses - SLOTS;
      node.parts.state.close();
    }),
    { seed: 10, numRuns: 60 },
  );
  expect(cold).toBeGreaterThan(50);
});

async function checkRead(
  node: Node,
  { ids, fields, windowsMax }: { ids: readonly number[]; fields: readonly string[]; windowsMax: number },
  rows: ReadonlyMap<number, ReadonlyMap<string, string>>,
): Promise<void> {
  const located = await found(node, ids, fields);
  const lacks = (id: number): boolean => fields.some((field) => rows.get(id)?.get(field) === undefined);
  expect(located.missing).toEqual([...ids.keys()].filter((place) => lacks(ids[place])));
  located.close();
  const there = ids.filter((id) => !lacks(id));
  const { bytes, windows } = await send(node, await found(node, there, fields), windowsMax);
  for (const one of windows) expect(one).toBeLessThanOrEqual(WINDOW_SIZE_MAX + TAIL_SIZE);
  if (windowsMax !== Infinity) return;
  checkTail(bytes);
  const values = valuesIn(bytes);
  for (const field of fields) expect(values[field]).toEqual(there.map((id) => rows.get(id)!.get(field)));
}

/** Ten rows of 1.5 MiB, of which at most three are still in memory. */
async function withLargeRows(): Promise<Node> {
  const node = await newNode();
  for (let id = 0; id < 10; id++) await putText(node, 'p', [id], 'a', [valueOf(id, 'a', id, 1_500_000)]);
  return node;
}

const LARGE = [...Array(10).keys()];

describe('large answers', () => {
  test('come in windows of at most 4 MiB, in order and complete', async () => {
    const node = await withLargeRows();
    const { bytes, windows } = await send(node, await found(node, LARGE, ['a']));
    expect(bytes.length).toBeGreaterThan(15_000_000);
    expect(windows.length).toBeGreaterThanOrEqual(4);
    expect(Math.max(...windows)).toBeLessThanOrEqual(4 << 20);
    checkTail(bytes);
    expect(valuesIn(bytes).a).toEqual(LARGE.map((id) => valueOf(id, 'a', id, 1_500_000)));
    await expectNothingHeld(node);
  });

  test('many at once share few slots without blocking each other, and each is right', async () => {
    const node = await withLargeRows();
    const answers = await Promise.all(
      LARGE.map(async (first) => {
        const ids = LARGE.map((i) => (first + 3 * i) % 10);
        const { bytes } = await send(node, await found(node, ids, ['a']));
        return valuesIn(bytes).a.every((value, i) => value.startsWith(`${ids[i]}/a/`));
      }),
    );
    expect(answers).toEqual(LARGE.map(() => true));
    await expectNothingHeld(node);
  });

  test('that break in the middle, or before the first window, let go of everything', async () => {
    const node = await withLargeRows();
    const { fs } = node.parts.env as ReturnType<typeof simEnv>;
    for (let after = 0; after < 12; after++) {
      fs.faults = [];
      let reads = 0;
      fs.gate = (action) => {
        if (action === 'read' && reads++ === after)
          fs.faults.push({ action: 'read', path: /seg/, code: 'EIO', times: 1 });
        return Promise.resolve();
      };
      const outcome = await found(node, LARGE, ['a'])
        .then((located) => send(node, located))
        .then(
          ({ bytes }) => bytes.length,
          (error: unknown) => String(error),
        );
      expect(outcome).toMatch(/data_corrupt/);
      await expectNothingHeld(node);
    }
    fs.gate = () => Promise.resolve();
    expect((await send(node, await found(node, LARGE, ['a']))).bytes.length).toBeGreaterThan(15_000_000);
  });

  test('over the limit are refused before anything is read', async () => {
    const node = await withLargeRows();
    const located = await found(node, LARGE, ['a']);
    const composing = composeAnswer(node.parts.reader, located, { answerSizeMax: 1_000_000, attempts: null });
    await expect(composing).rejects.toMatchObject({ code: 'answer_too_large' });
    located.close();
    await expectNothingHeld(node);
  });
});

describe('what was located', () => {
  const changes: Record<string, (node: Node) => Promise<unknown>> = {
    overwritten: (node) => putText(node, 'p', [1, 2], 'a', ['new', 'new']),
    deleted: (node) => deleteRows(node, 'p', { ids: Float64Array.of(1, 2), requestId: '' }),
    dropped: (node) => drop(node, 'p'),
  };

  test.each(Object.entries(changes))('stays as it was while it is held, though it was %s', async (_, change) => {
    const node = await newNode();
    const old = ['one'.padEnd(300_000, '1'), 'two'.padEnd(300_000, '2')];
    await putText(node, 'p', [1, 2], 'a', old);
    const segment = [...node.parts.segments.all()][0];
    const located = await found(node, [2, 1], ['a']);
    await change(node);
    for (let round = 0; round < 12; round++) {
      await declareTest(node, 'filler');
      await putText(node, 'filler', [round], 'x', ['f'.repeat(600_000)]);
      await node.makeDurable();
    }
    expect(segment.live).toBe(1);
    expect(await valuesOf(node, located)).toEqual({ index_id: ['2', '1'], a: [old[1], old[0]] });
    await node.makeDurable();
    expect(segment.live).toBe(0);
    await expectNothingHeld(node);
  });

  test('is the state of the turn of the call, whatever is applied before it resolves', async () => {
    const node = await newNode();
    await putText(node, 'p', [1], 'a', ['old']);
    const reading = found(node, [1], ['a']);
    const { store } = node.parts.state;
    const deleting = deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: '' });
    const putting = putText(node, 'p', [1], 'a', ['new']);
    expect(await valuesOf(node, await reading)).toMatchObject({ a: ['old'] });
    await Promise.all([deleting, putting]);
    expect(await valuesOf(node, await found(node, [1], ['a']))).toMatchObject({ a: ['new'] });
    expect(store.extentsAfter(0)).toHaveLength(1);
  });

  test('a share is kept until a close of its own; after the last close there is none', async () => {
    const node = await newNode();
    await putText(node, 'p', [1], 'a', ['x']);
    const first = await found(node, [1], ['a']);
    const second = first.share()!;
    await deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: '' });
    first.close();
    expect(first.share()).toBeNull();
    expect(await valuesOf(node, second)).toMatchObject({ a: ['x'] });
    expect(node.parts.state.store.extentsAfter(0)).toEqual([]);
  });

  test('numbers of batches never come again, and what a lookup may have seen stays until it is done', async () => {
    const node = await newNode();
    const numbers = new Set<number>();
    for (let round = 0; round < 30; round++) {
      await putText(node, 'p', [1], 'a', [`${round}`]);
      const reading = found(node, [1], ['a']);
      const putting = putText(node, 'p', [1], 'a', [`${round} again`]);
      const located = await reading;
      expect(located.batches).toHaveLength(1);
      numbers.add(located.batches[0].number);
      expect(await valuesOf(node, located)).toMatchObject({ a: [`${round}`] });
      await putting;
      await settle();
    }
    expect(numbers.size).toBe(30);
    expect(node.parts.state.store.extentsAfter(0)).toHaveLength(1);
  });
});

test('a put without rows leaves nothing behind', async () => {
  const node = await newNode();
  await putBody(node, 'p', bodyOf([], 'a', []));
  expect(node.parts.state.store.extentsAfter(0)).toEqual([]);
  expect(node.partition('p').bytes).toBe(0);
});
