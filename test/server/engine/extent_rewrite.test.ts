/** Rewriting: rows look the same before and after, byte by byte, and the bytes of the others are gone. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { encodeBatch, type EncodedColumn } from '@transfer-queue/core/arrow';
import { ExtentRewrite } from '../../../server/engine/extent_rewrite.ts';
import type { Node } from '../../../server/engine/node.ts';
import { read } from '../../../server/engine/read.ts';
import type * as SurveyModule from '../../../server/store/survey.ts';
import { composeAnswer } from '../../../server/store/answer.ts';
import type { Located } from '../../../server/store/locate.ts';
import { AnswerWindows } from '../../../server/store/windows.ts';
import { caller, claimOf, openTestNode, putBody, putText, readText, textColumn, valuesOf } from '../../support/node.ts';
import { seededRandom, simEnv } from '../../support/sim_env.ts';
import {
  checkAccounts,
  compact,
  DIR,
  diskSize,
  MEMORY_SIZE,
  newWorld,
  remove,
  valueOf,
  type SpaceWorld,
} from './space.ts';

let isEager = false;

/** Any dead byte is a reason to write an extent anew. */
vi.mock('../../../server/store/survey.ts', async (original) => {
  const real = await original<typeof SurveyModule>();
  return {
    ...real,
    isWorn: (...given: Parameters<typeof real.isWorn>) => (isEager ? given[1] > 0 : real.isWorn(...given)),
    isWasteful: (...given: Parameters<typeof real.isWasteful>) => isEager || real.isWasteful(...given),
  };
});

afterEach(() => {
  isEager = false;
});

function rewriteOf(node: Node): ExtentRewrite {
  const { env, core, arena, segments, damage, state } = node.parts;
  return new ExtentRewrite({
    ...{ env, core, arena, segments, damage },
    extents: () => state.store.extents(),
    unready: (partition, lists) => state.unready(partition, lists),
    commit: (event) => node.commit(event, 'os').commit,
  });
}

/** Surveys once and writes anew what is worn. */
async function rewriteAll({ env, node }: SpaceWorld, rewrite = rewriteOf(node)): Promise<ExtentRewrite> {
  rewrite.tick();
  let isDone = false;
  void rewrite.idle().then(() => (isDone = true));
  for (let turn = 0; turn < 2_000 && !isDone; turn++) await env.clock.advance(50);
  expect(isDone).toBe(true);
  return rewrite;
}

async function bytesOf({ parts: { reader, core } }: Node, located: Located): Promise<Buffer> {
  const pieces = await composeAnswer(reader, located, { answerSizeMax: 1 << 30, attempts: null });
  const windows = new AnswerWindows({ reader, located, pieces, core, tail: false });
  const parts: Buffer[] = [];
  for (let sent = 0; sent < windows.size;) {
    const window = await windows.next();
    for (const part of window.parts) {
      parts.push(Buffer.from(part));
      sent += part.length;
    }
    window.release();
  }
  windows.close();
  located.close();
  return Buffer.concat(parts);
}

interface Seen {
  readonly bytes: Buffer;
  readonly lsn: number;
}

/** What a read of each row shows, by id and fields that it has. */
async function seen(node: Node, ids: readonly number[], fields: readonly string[]): Promise<Map<string, Seen>> {
  const all = new Map<string, Seen>();
  for (const field of fields) {
    for (const id of ids) {
      const select = { by: 'ids', ids: Float64Array.of(id) } as const;
      const outcome = await read(node, { partition: 'p', select, fields: [field], waitMs: 0 }, caller).catch(
        () => null,
      );
      if (outcome?.kind !== 'rows') continue;
      const { lsn } = outcome.located;
      all.set(`${id}/${field}`, { bytes: await bytesOf(node, outcome.located), lsn });
    }
  }
  return all;
}

const FIELDS = ['dense', 'scalar', 'list', 'tensor', 'text'] as const;

/** A column of each layout, with values that differ by row and put. */
function columnOf(name: (typeof FIELDS)[number], rows: number, random: () => number): EncodedColumn {
  const lengths = Array.from({ length: rows }, () => Math.floor(random() * 900));
  const offsetsOf = (counts: readonly number[]): Int32Array => {
    const offsets = new Int32Array(rows + 1);
    for (const [i, count] of counts.entries()) offsets[i + 1] = offsets[i] + count;
    return offsets;
  };
  const filled = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => 97 + Math.floor(random() * 26));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  switch (name) {
    case 'dense':
      return { name, layout: { layout: 'dense', dtype: 'float32', shape: [3, 5] }, values: filled(rows * 60) };
    case 'scalar':
      return { name, layout: { layout: 'scalar', dtype: 'int64' }, values: filled(rows * 8) };
    case 'list':
      return {
        name,
        layout: { layout: 'ragged', dtype: 'int32' },
        offsets: offsetsOf(lengths),
        values: filled(4 * total),
      };
    case 'tensor': {
      const shapes = Int32Array.from(lengths.flatMap((length) => [length, 4]));
      const offsets = offsetsOf(lengths.map((length) => 4 * length));
      const layout = { layout: 'ragged', dtype: 'uint8', shape: [null, 4] } as const;
      return { name, layout, offsets, values: filled(4 * total), shapes };
    }
    case 'text':
      return { name, layout: { layout: 'text' }, offsets: offsetsOf(lengths), values: filled(total) };
  }
}

const IDS = [...Array(60).keys()];

/** One put of random rows and fields. */
async function putRandom(node: Node, random: () => number): Promise<void> {
  const ids = IDS.filter(() => random() < 0.5);
  const fields = FIELDS.filter(() => random() < 0.5);
  if (ids.length === 0 || fields.length === 0) return;
  const columns = fields.map((name) => columnOf(name, ids.length, random));
  if (random() < 0.5)
    columns.push(
      textColumn(
        'tq_tags',
        { layout: 'text' },
        ids.map(() => '{"tagged":true}'),
      ),
    );
  await putBody(node, 'p', Buffer.concat(encodeBatch(Float64Array.from(ids), columns)));
}

describe('rows', () => {
  test('show the same bytes and LSNs before and after, and after a start', async () => {
    isEager = true;
    let rewritten = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      const world = await newWorld();
      for (let put = 0; put < 30; put++) await putRandom(world.node, random);
      await remove(
        world.node,
        IDS.filter((id) => (id + seed) % 5 !== 0),
      );
      await world.env.clock.advance(100);
      const before = await seen(world.node, IDS, FIELDS);
      const sizeBefore = world.node.partition('p').bytes;
      const done = await rewriteAll(world);
      rewritten += done.rewrittenCount;
      expect(await seen(world.node, IDS, FIELDS)).toEqual(before);
      expect(sizeBefore - world.node.partition('p').bytes).toBe(done.freedSize);
      checkAccounts(world.node);
      const env = simEnv(world.env.fs.afterCrash());
      const { node } = await openTestNode(env, DIR, MEMORY_SIZE);
      expect(await seen(node, IDS, FIELDS)).toEqual(before);
      checkAccounts(node);
    }
    expect(rewritten).toBeGreaterThan(100);
  });

  test('that change while they are written anew keep what they have now', async () => {
    const world = await stocked();
    const { env, node } = world;
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'datasync' ? gate.promise : Promise.resolve());
    const rewrite = rewriteOf(node);
    rewrite.tick();
    await env.clock.advance(50);
    await remove(node, [KEPT[0], KEPT[5]]);
    await putText(node, 'p', [KEPT[1], KEPT[6]], 'a', ['new', 'newer']);
    env.fs.gate = () => Promise.resolve();
    gate.resolve();
    await rewriteAll(world, rewrite);
    expect(rewrite.rewrittenCount).toBeGreaterThan(0);
    const rest = KEPT.filter((id) => id !== KEPT[0] && id !== KEPT[5]);
    const { a } = await readText(node, 'p', rest);
    const text = (id: number): string => (id === KEPT[1] ? 'new' : id === KEPT[6] ? 'newer' : valueOf(id, 0, SIZE));
    expect(a).toEqual(rest.map(text));
    await expect(readText(node, 'p', [KEPT[0]])).rejects.toMatchObject({ code: 'rows_missing' });
    checkAccounts(node);
  });

  test('that a claim was granted are left where they are until it ends', async () => {
    const world = await newWorld();
    const { node } = world;
    await putRows(node, 0);
    const claimed = await claimOf(node, 'p', { fields: ['a'], rowsMax: ROWS });
    if (claimed.kind !== 'claimed') throw new Error('nothing was claimed');
    await remove(
      node,
      ALL.filter((id) => id < ROWS && !KEPT.includes(id)),
    );
    isEager = true;
    const rewrite = await rewriteAll(world);
    expect(rewrite.rewrittenCount).toBe(0);
    const { a } = await valuesOf(node, claimed.located);
    expect(a).toEqual(ALL.slice(0, ROWS).map((id) => valueOf(id, 0, SIZE)));
  });
});

const PUTS = 60;
const ROWS = 100;
const SIZE = 1_500;
const ALL = [...Array(PUTS * ROWS).keys()];
const KEPT = ALL.filter((id) => id % 10 === 7);

async function putRows(node: Node, put: number): Promise<void> {
  const ids = ALL.slice(put * ROWS, (put + 1) * ROWS);
  await putText(
    node,
    'p',
    ids,
    'a',
    ids.map((id) => valueOf(id, 0, SIZE)),
  );
}

/** Puts of a hundred rows each, of which each tenth row stays. */
async function stocked(): Promise<SpaceWorld> {
  const world = await newWorld();
  for (let put = 0; put < PUTS; put++) await putRows(world.node, put);
  await remove(
    world.node,
    ALL.filter((id) => id % 10 !== 7),
  );
  return world;
}

async function expectKept(node: Node): Promise<void> {
  const { a } = await readText(node, 'p', KEPT);
  expect(a).toEqual(KEPT.map((id) => valueOf(id, 0, SIZE)));
}

describe('space', () => {
  test('after 90 % of the rows of each put are deleted, disk use falls below 1.3 times what lives', async () => {
    const world = await stocked();
    const { env, node } = world;
    expect(diskSize(env)).toBeGreaterThan(ALL.length * SIZE);
    await env.clock.advance(60_000);
    expect(diskSize(env)).toBeLessThan(1.3 * KEPT.length * SIZE + (1 << 20));
    await expectKept(node);
    checkAccounts(node);
  });

  test('a put of many rows becomes several, none of which takes long to apply', async () => {
    const world = await newWorld();
    const { node } = world;
    const ids = [...Array(20_000).keys()];
    await putText(
      node,
      'p',
      ids,
      'a',
      ids.map((id) => valueOf(id, 0, 300)),
    );
    await remove(
      node,
      ids.filter((id) => id % 3 !== 0),
    );
    const rewrite = await rewriteAll(world);
    expect(rewrite.rewrittenCount).toBe(1);
    const extents = [...node.parts.state.store.extents()];
    expect(extents.length).toBeGreaterThanOrEqual(4);
    for (const { batches } of extents)
      expect(batches.reduce((sum, batch) => sum + (batch?.rows ?? 0), 0)).toBeLessThan(2_049);
    const kept = ids.filter((id) => id % 3 === 0);
    expect((await readText(node, 'p', kept)).a).toEqual(kept.map((id) => valueOf(id, 0, 300)));
    checkAccounts(node);
  });

  test('nothing is written anew while little is dead', async () => {
    const world = await newWorld();
    for (let put = 0; put < 10; put++) await putRows(world.node, put);
    await remove(world.node, [3, 104, 777]);
    expect((await rewriteAll(world)).rewrittenCount).toBe(0);
  });
});

describe('what stands in the way', () => {
  test('a damaged extent is reported and left alone', async () => {
    const world = await stocked();
    const { env, node } = world;
    await node.makeDurable();
    const [victim] = node.parts.state.store.extents();
    const { segment, offset } = victim.place;
    env.fs.files.get(`${DIR}/segments/${String(segment.id).padStart(10, '0')}.seg`)!.current[offset + 999] ^= 8;
    isEager = true;
    const rewrite = await rewriteAll(world);
    expect(rewrite.rewrittenCount).toBe(PUTS - 1);
    expect(node.parts.damage.all()).toMatchObject([{ segment: segment.id, foundBy: 'move' }]);
    expect([...node.parts.state.store.extents()]).toContain(victim);
    checkAccounts(node);
  });

  test('a disk that is full, or a stop in the middle, loses nothing', async () => {
    const world = await stocked();
    const { env, node } = world;
    env.fs.faults.push({ action: 'write', path: /seg/, code: 'ENOSPC', times: 1, partial: 100 });
    expect((await rewriteAll(world)).rewrittenCount).toBe(0);
    const rewrite = rewriteOf(node);
    const gate = Promise.withResolvers<void>();
    env.fs.gate = (action) => (action === 'write' ? gate.promise : Promise.resolve());
    rewrite.tick();
    await env.clock.advance(10);
    const stopping = rewrite.stop();
    gate.resolve();
    await stopping;
    await expectKept(node);
    checkAccounts(node);
    await rewriteAll(world);
    await compact(world);
    await expectKept(node);
    checkAccounts(node);
  });
});
