/** Reads at an LSN: the rows and bytes of that moment whatever happens meanwhile, while a snapshot holds it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '@transfer-queue/core/protocol';
import type { Selection } from '../../../server/engine/commands.ts';
import { drop } from '../../../server/engine/partitions.ts';
import { declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv } from '../../support/sim_env.ts';
import { byIds, byRange, DIR, FIELDS, ID_END, LEASE_MS, readAt, World, type Wanted } from './snapshot_world.ts';

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
        size: fc.oneof({ weight: 4, arbitrary: fc.nat(200) }, { weight: 3, arbitrary: fc.nat(150_000) }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ act: fc.constant('delete' as const), ids }) },
    { weight: 3, arbitrary: fc.constant({ act: 'snapshot' as const }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('close' as const), choice }) },
    { weight: 2, arbitrary: fc.constant({ act: 'checkpoint' as const }) },
    { weight: 2, arbitrary: fc.constant({ act: 'reclaim' as const }) },
    {
      weight: 4,
      arbitrary: fc.record({
        act: fc.constant('check' as const),
        ids: fc.array(fc.nat(12), { maxLength: 6 }),
        fields: fc.option(fc.subarray(FIELDS, { minLength: 1 })),
      }),
    },
  ),
  { minLength: 20, maxLength: 60, size: 'max' },
);

test('a reader sees the rows and bytes of its LSN while puts, deletes, checkpoints and compactions go on', async () => {
  let [moved, rewritten] = [0, 0];
  await fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const world = await World.start();
      const { node, env } = world;
      // Segments full of rows, which then die here and there.
      for (let id = 0; id < 12; id++) for (const field of ['a', 'b']) await world.put([id], field, 120_000);
      for (const command of sequence) {
        if (command.act === 'put') await world.put(command.ids, command.field, command.size);
        else if (command.act === 'delete') await world.delete(command.ids);
        else if (command.act === 'snapshot') await world.snapshot();
        else if (command.act === 'close') world.close(command.choice);
        else if (command.act === 'checkpoint') await world.checkpoint();
        else if (command.act === 'reclaim') await world.reclaim();
        else await world.check(command.ids, command.fields);
      }
      await world.check([...world.rows.keys()], null);
      while (world.open.length > 0) world.close(0);
      // What only snapshots held is gone with them.
      await world.delete([...world.rows.keys()]);
      expect([node.snapshots.count, [...node.parts.state.store.extents()]]).toEqual([0, []]);
      await node.makeDurable();
      expect([...node.parts.segments.all()].filter(({ live }) => live > 0)).toEqual([]);
      expect(env.crashes).toEqual([]);
      moved += world.compaction.movedCount + node.compaction.movedCount;
      rewritten += node.rewrite.rewrittenCount;
      await node.stop();
    }),
    { seed: 13, numRuns: 25 },
  );
  expect([moved > 0, rewritten > 0]).toEqual([true, true]);
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
  async function overwritten(leaseMs?: number): Promise<World & { readonly segment: number }> {
    const world = await World.start();
    await putText(world.node, 'p', [1], 'a', [old]);
    const [{ id }] = world.node.parts.segments.all();
    await world.snapshot(leaseMs);
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
    const world = await overwritten(10_000);
    const { node, env, open } = world;
    await env.clock.advance(9_999);
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
