/** Reads at an LSN: the rows and bytes of that moment whatever happens meanwhile, for as long as a snapshot holds it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import type { Selection } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows, drop } from '../../../server/engine/partitions.ts';
import { read } from '../../../server/engine/read.ts';
import { caller, declareTest, openTestNode, putText, valuesOf } from '../../support/node.ts';
import { settle, simEnv, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const FIELDS = ['a', 'b', 'c'];
const LEASE_MS = 60_000;
const ID_END = 2 ** 53;

type Rows = ReadonlyMap<number, ReadonlyMap<string, string>>;

interface Wanted {
  readonly fields?: readonly string[] | null;
  readonly lsn?: number;
  readonly waitMs?: number;
  readonly partition?: string;
}

/** The values of an answer by field, in the order of its rows. */
async function readAt(node: Node, select: Selection, wanted: Wanted): Promise<Record<string, string[]>> {
  const { fields = null, lsn, waitMs = 0, partition = 'p' } = wanted;
  const outcome = await read(node, { partition, select, fields, waitMs, lsn }, caller);
  if (outcome.kind !== 'rows') throw new Error(`the read ended as ${outcome.kind}`);
  return { ...(await valuesOf(node, outcome.located)), next: [String(outcome.next)] };
}

const byIds = (...ids: number[]): Selection => ({ by: 'ids', ids: Float64Array.from(ids) });
const byRange = (start: number, end: number, rowsMax: number): Selection => ({ by: 'range', start, end, rowsMax });

/** What rows should be, now and at each snapshot that is open. */
class World {
  readonly node: Node;
  readonly env: SimEnv;
  readonly rows = new Map<number, ReadonlyMap<string, string>>();
  /** In the order of their declaration. */
  readonly declared = new Set<string>();
  readonly open: { readonly snapshot: string; readonly lsn: number; readonly rows: Rows; readonly fields: string[] }[] =
    [];
  #version = 0;

  constructor(node: Node, env: SimEnv) {
    this.node = node;
    this.env = env;
  }

  static async start(): Promise<World> {
    const env = simEnv();
    const { node } = await openTestNode(env, DIR);
    await declareTest(node, 'p');
    return new World(node, env);
  }

  async put(ids: readonly number[], field: string, size: number): Promise<void> {
    const version = this.#version++;
    const values = ids.map((id) => `${id}/${field}/${version}/`.padEnd(size, String(version % 10)));
    await putText(this.node, 'p', ids, field, values);
    this.declared.add(field);
    for (const [i, id] of ids.entries()) this.rows.set(id, new Map([...(this.rows.get(id) ?? []), [field, values[i]]]));
  }

  async delete(ids: readonly number[]): Promise<void> {
    await deleteRows(this.node, 'p', { ids: Float64Array.from(ids), requestId: '' });
    for (const id of ids) this.rows.delete(id);
  }

  async snapshot(): Promise<void> {
    const { snapshot, lsn } = await this.node.snapshots.open(LEASE_MS);
    this.open.push({ snapshot, lsn, rows: new Map(this.rows), fields: [...this.declared] });
  }

  close(choice: number): void {
    for (const { snapshot } of this.open.splice(choice % Math.max(1, this.open.length), 1)) {
      this.node.snapshots.close(snapshot);
    }
  }

  async checkpoint(): Promise<void> {
    await this.node.checkpoints.run();
    await this.node.parts.tree.compacted();
  }

  /** Reads rows at every snapshot, and compares. */
  async check(ids: readonly number[], fields: readonly string[] | null): Promise<void> {
    for (const { lsn, rows, fields: known } of this.open) {
      const names = fields === null ? known : fields.filter((field) => this.declared.has(field));
      const has = (id: number): boolean => rows.has(id) && names.every((name) => rows.get(id)!.has(name));
      const cells = (some: readonly number[]): Record<string, string[]> => ({
        index_id: some.map(String),
        ...Object.fromEntries(names.map((name) => [name, some.map((id) => rows.get(id)!.get(name)!)])),
      });
      const wanted = { fields: fields === null ? null : names, lsn };
      const missing = ids.filter((id) => !has(id));
      const asked = readAt(this.node, byIds(...ids), wanted);
      if (missing.length === 0) expect(await asked).toEqual({ ...cells(ids), next: ['null'] });
      else await expect(asked).rejects.toMatchObject({ code: 'rows_missing', details: { missing } });
      await this.#checkRange({ names: wanted.fields, lsn, rows, has, cells });
    }
  }

  async #checkRange({
    names,
    lsn,
    rows,
    has,
    cells,
  }: {
    names: readonly string[] | null;
    lsn: number;
    rows: Rows;
    has: (id: number) => boolean;
    cells: (ids: readonly number[]) => Record<string, string[]>;
  }): Promise<void> {
    const rowsMax = 4;
    const sorted = [...rows.keys()].sort((a, b) => a - b);
    for (let start = 0, at = 0; ; at += rowsMax) {
      const page = sorted.slice(at, at + rowsMax);
      const next = sorted.length > at + rowsMax ? sorted[at + rowsMax] : null;
      const found = await readAt(this.node, byRange(start, ID_END, rowsMax), { fields: names, lsn });
      expect(found).toEqual({ ...cells(page.filter(has)), next: [String(next)] });
      if (next === null) return;
      start = next;
    }
  }
}

const ids = fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 8 });
const choice = fc.nat(9);
const commands = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        act: fc.constant('put' as const),
        ids,
        field: fc.constantFrom(...FIELDS),
        size: fc.oneof({ weight: 6, arbitrary: fc.nat(200) }, { weight: 1, arbitrary: fc.nat(60_000) }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('delete' as const), ids }) },
    { weight: 3, arbitrary: fc.constant({ act: 'snapshot' as const }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('close' as const), choice }) },
    { weight: 2, arbitrary: fc.constant({ act: 'checkpoint' as const }) },
    { weight: 1, arbitrary: fc.constant({ act: 'sync' as const }) },
    {
      weight: 4,
      arbitrary: fc.record({
        act: fc.constant('check' as const),
        ids: fc.array(fc.nat(12), { maxLength: 6 }),
        fields: fc.option(fc.subarray(FIELDS, { minLength: 1 })),
      }),
    },
  ),
  { maxLength: 40, size: 'max' },
);

test('a reader sees the rows and bytes of its LSN while puts, deletes, checkpoints and compactions go on', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = await World.start();
      const { node, env } = world;
      for (const command of sequence) {
        if (command.act === 'put') await world.put(command.ids, command.field, command.size);
        else if (command.act === 'delete') await world.delete(command.ids);
        else if (command.act === 'snapshot') await world.snapshot();
        else if (command.act === 'close') world.close(command.choice);
        else if (command.act === 'checkpoint') await world.checkpoint();
        else if (command.act === 'sync') await env.clock.advance(1_000);
        else await world.check(command.ids, command.fields);
      }
      await world.check([...world.rows.keys()], null);
      while (world.open.length > 0) world.close(0);
      // What only snapshots held is gone with them.
      const shown = new Set([...world.rows.keys()].flatMap((id) => [...world.rows.get(id)!.values()]));
      await world.delete([...world.rows.keys()]);
      expect([node.snapshots.count, [...node.parts.state.store.extents()], shown.has('')]).toEqual([0, [], false]);
      await node.makeDurable();
      expect([...node.parts.segments.all()].filter(({ live }) => live > 0)).toEqual([]);
      expect(env.crashes).toEqual([]);
    }),
    { seed: 13, numRuns: 25 },
  );
});

test('versions of every age are told apart when all of them were merged', async () => {
  const world = await World.start();
  const { stats } = world.node.parts.tree;
  for (let round = 0; round < 24; round++) {
    await world.put([round % 5, 5 + (round % 3)], FIELDS[round % 3], 30);
    if (round % 4 === 0) await world.delete([round % 7]);
    if (round % 3 === 0) await world.snapshot();
    if (round % 6 === 5) world.close(round % 4);
    await world.checkpoint();
    await world.check([0, 5], null);
  }
  expect(world.node.parts.tree.stats.compactedSize).toBeGreaterThan(stats.compactedSize);
  expect(world.open).toHaveLength(4);
});

describe('what a snapshot holds', () => {
  const old = 'old'.padEnd(600_000, 'o');

  /** A row that was overwritten while a snapshot was open, and whose old bytes fill a segment of their own. */
  async function overwritten(): Promise<World & { readonly segment: number }> {
    const world = await World.start();
    await putText(world.node, 'p', [1], 'a', [old]);
    const [{ id }] = world.node.parts.segments.all();
    await world.snapshot();
    await putText(world.node, 'p', [1], 'a', ['new'.padEnd(600_000, 'n')]);
    await world.checkpoint();
    await world.node.makeDurable();
    return Object.assign(world, { segment: id });
  }

  /** Checks that the old bytes are there; then that they are gone, and their file with them. */
  async function expectReleased(world: World & { readonly segment: number }, end: () => unknown): Promise<void> {
    const { node, env, open, segment } = world;
    expect((await readAt(node, byIds(1), { lsn: open[0].lsn })).a).toEqual([old]);
    expect(node.parts.segments.get(segment)?.live).toBe(1);
    expect(node.partition('p').bytes).toBeGreaterThan(1_200_000);
    await end();
    await node.makeDurable();
    expect(node.parts.segments.get(segment)).toBeUndefined();
    expect(node.partition('p').bytes).toBeLessThan(700_000);
    // Its file is the next one's.
    const files = (): number => [...env.fs.files.keys()].filter((path) => path.endsWith('.seg')).length;
    expect(files()).toBe(2);
    await putText(node, 'p', [2], 'a', [old]);
    expect(files()).toBe(2);
    await expect(readAt(node, byIds(1), { lsn: open[0].lsn })).rejects.toMatchObject({ code: 'lsn_unknown' });
  }

  test('is given back when it is closed', async () => {
    const world = await overwritten();
    await expectReleased(world, () => world.node.snapshots.close(world.open[0].snapshot));
  });

  test('is given back when its lease is over, which a renewal puts off', async () => {
    const world = await overwritten();
    const { node, env, open } = world;
    await env.clock.advance(LEASE_MS - 1);
    expect(node.snapshots.renew(open[0].snapshot, 5_000)).toEqual({ lsn: open[0].lsn, lease_ms: 5_000 });
    await env.clock.advance(4_999);
    await expectReleased(world, () => env.clock.advance(1));
    expect(() => node.snapshots.renew(open[0].snapshot, 5_000)).toThrow('lsn_unknown');
  });

  test('is held by the other of two of the same LSN', async () => {
    const world = await overwritten();
    const { node } = world;
    const [first] = world.open;
    await world.snapshot();
    await world.snapshot();
    expect(world.open[1].lsn).toBe(world.open[2].lsn);
    world.close(1);
    expect((await readAt(node, byIds(1), { lsn: world.open[1].lsn })).a[0]).toMatch(/^newn/);
    expect(node.snapshots.count).toBe(2);
    await expectReleased(world, () => node.snapshots.close(first.snapshot));
  });

  test('does not outlive the process, nor keep it from ending', async () => {
    const world = await overwritten();
    const { node, env, open } = world;
    await node.stop();
    expect(node.snapshots.count).toBe(0);
    const again = await openTestNode(simEnv(env.fs.afterCrash(), env.clock), DIR);
    expect(again.node.partition('p').bytes).toBeLessThan(700_000);
    await expect(readAt(again.node, byIds(1), { lsn: open[0].lsn })).rejects.toMatchObject({ code: 'lsn_unknown' });
    expect(() => again.node.snapshots.renew(open[0].snapshot, 1_000)).toThrow('lsn_unknown');
  });
});

describe('a read that has begun', () => {
  /** Rows 0 to 5, on disk; a snapshot; then all of them changed. */
  async function changed(): Promise<World> {
    const world = await World.start();
    for (let id = 0; id < 6; id++) await world.put([id], 'a', 100);
    await world.checkpoint();
    await world.snapshot();
    return world;
  }

  const selections: Record<string, Selection> = {
    ids: byIds(0, 1, 2, 3, 4, 5),
    range: byRange(0, ID_END, 10),
  };

  test.each(Object.entries(selections))(
    'by %s ends well though the snapshot is closed meanwhile',
    async (_, select) => {
      const world = await changed();
      const { node, open } = world;
      await world.put([0, 1, 2], 'a', 100);
      const [{ lsn, rows }] = open;
      const reading = readAt(node, select, { lsn });
      world.close(0);
      const changing = [world.put([3, 4, 5], 'a', 50), world.delete([0]), world.checkpoint()];
      expect((await reading).a).toEqual([...rows.values()].map((row) => row.get('a')));
      await Promise.all(changing);
      expect(node.snapshots.count).toBe(0);
      await expect(readAt(node, select, { lsn })).rejects.toMatchObject({ code: 'lsn_unknown' });
    },
  );

  test.each(Object.entries(selections))(
    'by %s of a partition that is dropped meanwhile ends as such',
    async (_, select) => {
      const world = await changed();
      await world.put([0], 'a', 10);
      const reading = readAt(world.node, select, { lsn: world.open[0].lsn });
      const outcome = reading.then(
        ({ a }) => a.length,
        (error: unknown) => (error as { code: string }).code,
      );
      await drop(world.node, 'p');
      expect([6, 'partition_unknown']).toContain(await outcome);
      expect(world.env.crashes).toEqual([]);
    },
  );

  test('at the LSN of now sees nothing later, though no snapshot holds it', async () => {
    const world = await changed();
    const { node, rows } = world;
    world.close(0);
    const before = [...rows.values()].map((row) => row.get('a'));
    const { lsn } = node.partition('p');
    const reading = readAt(node, byIds(...rows.keys()), { lsn });
    const ranging = readAt(node, byRange(0, ID_END, 10), { lsn }).then(
      ({ a }) => a,
      (error: unknown) => (error as { code: string }).code,
    );
    await world.put([0, 1], 'a', 7);
    expect((await reading).a).toEqual(before);
    expect([before, 'lsn_unknown']).toContainEqual(await ranging);
  });
});

describe('refused', () => {
  const refusals: Record<string, (world: World) => readonly [Selection, Wanted, string, string?]> = {
    'an LSN that is yet to come': ({ node }) => [
      byIds(1),
      { lsn: node.parts.journal.lsn + 1 },
      'lsn_unknown',
      'yet to come',
    ],
    'an LSN that nobody held': ({ open }) => [
      byIds(1),
      { lsn: open[0].lsn - 1 },
      'lsn_unknown',
      'no snapshot holds it',
    ],
    'a memory partition that changed': ({ open }) => [
      byIds(1),
      { partition: 'm', lsn: open[0].lsn },
      'lsn_unknown',
      'ack level memory',
    ],
    'a range of it': ({ open }) => [
      byRange(0, 9, 9),
      { partition: 'm', lsn: open[0].lsn },
      'lsn_unknown',
      'ack level memory',
    ],
    'the newest row': ({ open }) => [{ by: 'newest', afterLsn: 0 }, { lsn: open[0].lsn }, 'json_invalid'],
    'a wait': ({ open }) => [byIds(1), { lsn: open[0].lsn, waitMs: 1 }, 'json_invalid'],
    'an unknown field': ({ open }) => [byIds(1), { lsn: open[0].lsn, fields: ['z'] }, 'field_unknown'],
    'a row that came later': ({ open }) => [byIds(1, 2), { lsn: open[0].lsn }, 'rows_missing'],
    'a field that came later': ({ open }) => [byIds(1), { lsn: open[0].lsn, fields: ['b'] }, 'rows_missing'],
    'a partition that came later': ({ open }) => [byIds(1), { lsn: open[0].lsn, partition: 'late' }, 'rows_missing'],
  };

  test.each(Object.entries(refusals))('%s', async (_, of) => {
    const world = await World.start();
    const { node } = world;
    await declareTest(node, 'm', { ack: 'memory' });
    await putText(node, 'm', [1], 'a', ['x']);
    await world.put([1], 'a', 10);
    await world.snapshot();
    await putText(node, 'm', [1], 'a', ['y']);
    await world.put([1, 2], 'b', 10);
    await declareTest(node, 'late');
    await putText(node, 'late', [1], 'a', ['x']);
    const [select, wanted, code, reason] = of(world);
    const expected =
      reason === undefined ? { code } : { code, details: { reason: expect.stringContaining(reason) as string } };
    await expect(readAt(node, select, wanted)).rejects.toMatchObject(expected);
    // All of it as it was then, whatever was declared since.
    expect(await readAt(node, byIds(1), { lsn: world.open[0].lsn })).toMatchObject({
      index_id: ['1'],
      a: ['1/a/0/'.padEnd(10, '0')],
    });
    await settle();
    expect(world.env.crashes).toEqual([]);
  });

  test('a memory partition is read at an LSN after which it did not change', async () => {
    const { node } = await World.start();
    await declareTest(node, 'm', { ack: 'memory' });
    await putText(node, 'm', [1, 2], 'a', ['x', 'y']);
    const { lsn } = node.partition('m');
    expect((await readAt(node, byIds(2), { partition: 'm', lsn })).a).toEqual(['y']);
    expect((await readAt(node, byRange(0, 9, 9), { partition: 'm', lsn })).a).toEqual(['x', 'y']);
  });

  test('more snapshots than the limit, until one is closed', async () => {
    const { node } = await World.start();
    const opened: string[] = [];
    for (let i = 0; i < limits.snapshotsMax; i++) opened.push((await node.snapshots.open(LEASE_MS)).snapshot);
    expect(new Set(opened).size).toBe(limits.snapshotsMax);
    await expect(node.snapshots.open(LEASE_MS)).rejects.toMatchObject({ code: 'too_many_snapshots' });
    node.snapshots.close(opened[0]);
    await node.snapshots.open(LEASE_MS);
    expect(node.snapshots.count).toBe(limits.snapshotsMax);
    expect(() => node.snapshots.close(opened[0])).toThrow('lsn_unknown');
  });
});
