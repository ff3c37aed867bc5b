/** Budgets: which puts wait for room, in which order they get it, and which are never held up. */
import { beforeEach, describe, expect, test } from 'vitest';
import { advance, describe as describePartition, drop, seal } from '../../../server/engine/partitions.ts';
import { declareTest, readText } from '../../support/node.ts';
import { settle } from '../../support/sim_env.ts';
import { BudgetWorld, ends, sizeOf } from './budget_world.ts';

let world: BudgetWorld;

beforeEach(async () => (world = await BudgetWorld.open()));

describe('a budget of rows', () => {
  test('refuses at once what may not wait, and says what is lacking', async () => {
    await world.declare({ rowsMax: 3 });
    await world.put([1, 2]);
    await expect(world.put([3, 4])).rejects.toMatchObject({
      code: 'over_budget',
      details: { partition: 'p', of: 'partition', budget: 'rows_max', limit: 3, used: 2, asked: 2, waiting: 0 },
    });
    await world.put([3]);
    expect(describePartition(world.node, world.node.partition('p'))).toMatchObject({
      rows: 3,
      rows_max: 3,
      rows_admitted: 3,
    });
  });

  test('lets a put in as soon as rows are deleted', async () => {
    await world.declare({ rowsMax: 2 });
    await world.put([1, 2]);
    const late = await world.waiting([3, 4]);
    expect(describePartition(world.node, world.node.partition('p'))).toMatchObject({ waiting_puts: 1 });
    await world.remove([1]);
    expect(await ends([late])).toEqual(['waits']);
    await world.remove([2]);
    expect(await ends([late])).toEqual(['done']);
    expect(world.node.budgets.count).toBe(0);
    expect(await readText(world.node, 'p', [3, 4])).toMatchObject({ a: ['v3', 'v4'] });
    await world.env.clock.advance(10_000);
  });

  test('ends a wait by time, with what is lacking then', async () => {
    await world.declare({ rowsMax: 2 });
    await world.put([1, 2]);
    const late = await world.waiting([3, 4]);
    await world.remove([1]);
    await world.env.clock.advance(4_999);
    expect(late.end).toBe('waits');
    await world.env.clock.advance(1);
    expect(await ends([late])).toEqual(['over_budget']);
    expect(late.details).toMatchObject({ budget: 'rows_max', used: 1, asked: 2, limit: 2 });
    expect(await readText(world.node, 'p', [2])).toMatchObject({ a: ['v2'] });
  });

  test('refuses a put that exceeds it by itself, whatever the wait', async () => {
    await world.declare({ rowsMax: 2 });
    const never = await world.waiting([1, 2, 3]);
    expect(never).toMatchObject({ end: 'over_budget', details: { asked: 3, limit: 2, reason: /whole budget/ } });
  });

  test('counts a put of old and new rows as new, by its new rows', async () => {
    await world.declare({ rowsMax: 3 });
    await world.put([1, 2]);
    await world.put([1, 2, 3], { field: 'b' });
    await expect(world.put([3, 4], { field: 'b' })).rejects.toMatchObject({ details: { asked: 1, used: 3 } });
  });

  test('is raised, lowered and taken away by a declaration', async () => {
    await world.declare({ rowsMax: 3 });
    await world.put([1, 2, 3]);
    const [small, large] = [await world.waiting([4]), await world.waiting([5, 6, 7])];
    await world.declare({ rowsMax: 4 });
    expect(await ends([small, large])).toEqual(['done', 'waits']);
    await world.declare({ rowsMax: 2 });
    expect(await ends([large])).toEqual(['over_budget']);
    const last = await world.waiting([7]);
    await world.declare({ rowsMax: null });
    expect(await ends([last])).toEqual(['done']);
  });
});

describe('a put that brings no new row', () => {
  test('is never held up, by no budget and by none that wait', async () => {
    await world.declare({ rowsMax: 1, bytesMax: sizeOf([1]), pace: { rowsPerVersion: 1, maxAhead: 0 } });
    await world.put([1]);
    const late = await world.waiting([2]);
    await world.put([1], { field: 'b' });
    await world.put([1], { field: 'c' });
    expect(late.end).toBe('waits');
    expect(await readText(world.node, 'p', [1])).toMatchObject({ a: ['v1'], b: ['v1'], c: ['v1'] });
  });

  test('goes on from the middle of its line when others brought its rows', async () => {
    await world.declare({ rowsMax: 3 });
    await world.put([1, 2]);
    const first = await world.waiting([3, 4]);
    const [large, completing] = [await world.waiting([5, 6, 7]), await world.waiting([4, 3], { field: 'b' })];
    await world.remove([1]);
    expect(await ends([first, large, completing])).toEqual(['done', 'waits', 'done']);
    expect(await readText(world.node, 'p', [3, 4])).toMatchObject({ a: ['v3', 'v4'], b: ['v3', 'v4'] });
  });

  test('asks for room when its rows are deleted before its turn', async () => {
    await world.declare({ rowsMax: 2 });
    await world.put([1, 2]);
    const first = await world.waiting([3, 4]);
    const second = await world.waiting([3, 4], { field: 'b' });
    const gone = Promise.all([world.remove([1, 2]), world.remove([3, 4])]);
    await gone;
    await settle();
    expect(await ends([first, second])).toEqual(['done', 'done']);
  });
});

describe('puts that wait', () => {
  test('get room in the order of their arrival, small ones behind large ones too', async () => {
    await world.declare({ rowsMax: 4 });
    await world.put([1, 2, 3, 4]);
    const outcomes = [await world.waiting([10, 11, 12]), await world.waiting([20]), await world.waiting([30, 31])];
    await world.remove([1, 2]);
    expect(await ends(outcomes)).toEqual(['waits', 'waits', 'waits']);
    await expect(world.put([40])).rejects.toMatchObject({
      code: 'over_budget',
      details: { waiting: 3, reason: /before it/ },
    });
    await world.remove([3]);
    expect(await ends(outcomes)).toEqual(['done', 'waits', 'waits']);
    await world.remove([4]);
    expect(await ends(outcomes)).toEqual(['done', 'done', 'waits']);
    await world.remove([10, 11]);
    expect(await ends(outcomes)).toEqual(['done', 'done', 'done']);
  });

  test('let those behind them through when they give up or go away', async () => {
    await world.declare({ rowsMax: 3 });
    await world.put([1, 2]);
    const gone: (() => void)[] = [];
    const leaving = await world.waiting([3, 4], {}, { onClose: (listener) => void gone.push(listener) });
    const timed = await world.waiting([5, 6], { waitMs: 1_000 });
    const next = await world.waiting([7]);
    for (const listener of gone) listener();
    expect(await ends([leaving, timed, next])).toEqual(['request_timeout', 'waits', 'waits']);
    await world.env.clock.advance(1_000);
    expect(await ends([timed, next])).toEqual(['over_budget', 'done']);
    for (const listener of gone) listener();
    expect(world.node.budgets.count).toBe(0);
  });

  test('ask for what is new when their turn comes: less, after others brought some of their rows', async () => {
    await world.declare({ rowsMax: 4 });
    await world.put([1, 2, 3, 4]);
    const outcomes = [await world.waiting([5]), await world.waiting([5, 6])];
    await world.remove([1]);
    expect(await ends(outcomes)).toEqual(['done', 'waits']);
    await world.remove([2]);
    expect(await ends(outcomes)).toEqual(['done', 'done']);
  });

  test('ask for what is new when their turn comes: more, after some of their rows were deleted', async () => {
    await world.declare({ rowsMax: 4 });
    await world.put([1, 2, 3, 4]);
    const outcomes = [await world.waiting([1, 5, 6]), await world.waiting([7])];
    await world.remove([1, 2]);
    expect(await ends(outcomes)).toEqual(['waits', 'waits']);
    await world.remove([3]);
    expect(await ends(outcomes)).toEqual(['done', 'waits']);
  });

  test('never get together more room than there is', async () => {
    await world.declare({ rowsMax: 5 });
    await world.put([1, 2, 3, 4, 5]);
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, i) => world.waiting([100 + i])));
    for (let id = 1; id <= 5; id++) {
      await world.remove([id]);
      await settle();
      expect(outcomes.filter(({ end }) => end === 'done')).toHaveLength(id);
      expect(world.node.parts.state.queue(world.node.partition('p')).slots.rows).toBe(5);
    }
    expect(outcomes.slice(0, 5).map(({ end }) => end)).toEqual(Array(5).fill('done'));
  });

  test('are refused when they can not come in any more', async () => {
    for (const [how, code] of [
      ['seal', 'partition_sealed'],
      ['drop', 'partition_unknown'],
    ] as const) {
      await world.declare({ rowsMax: 1 }, how);
      await world.put([1], { partition: how });
      const late = await world.waiting([2], { partition: how });
      await (how === 'seal' ? seal : drop)(world.node, how);
      expect(await ends([late])).toEqual([code]);
    }
    await world.declare({ rowsMax: 1 });
    await world.put([1]);
    const late = await world.waiting([2]);
    world.node.refuseWaits();
    expect(await ends([late])).toEqual(['shutting_down']);
    await expect(world.put([2], { waitMs: 1_000 })).rejects.toMatchObject({ code: 'shutting_down' });
  });

  test('answer a retry that waits too by what the first did', async () => {
    await world.declare({ rowsMax: 1 });
    await world.put([1]);
    const options = { requestId: 'same', waitMs: 5_000 };
    const both = Promise.all([world.put([2], options), world.put([2], options)]);
    await settle();
    await world.remove([1]);
    const [one, other] = await both;
    expect(other).toEqual(one);
    expect(world.node.partition('p').extents.size).toBe(1);
  });

  test('are refused when the disk became full meanwhile, and leave the room to the next', async () => {
    await world.declare({ rowsMax: 1 });
    await world.put([1]);
    const outcomes = [await world.waiting([2]), await world.waiting([3])];
    world.env.fs.faults.push({ action: 'write', path: /journal/, code: 'ENOSPC', times: 1, partial: 20 });
    world.env.fs.free = 0;
    await advance(world.node, 'p', 1);
    await world.remove([1]);
    expect(await ends(outcomes)).toEqual(['disk_full', 'disk_full']);
    world.env.fs.free = 1e9;
    await world.env.clock.advance(3_000);
    await world.put([4]);
    expect(world.env.crashes).toEqual([]);
  });

  test('are refused for what is wrong with them before they wait', async () => {
    await world.declare({ rowsMax: 1 });
    await world.put([1]);
    await expect(world.put([1, 2], { waitMs: 5_000, ifAbsent: true })).rejects.toMatchObject({ code: 'rows_exist' });
    await declareTest(world.node, 'p', { open: false });
    await expect(world.put([2], { waitMs: 5_000, field: 'z' })).rejects.toMatchObject({ code: 'field_unknown' });
  });
});
