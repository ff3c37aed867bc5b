/** Each kind of budget: what it counts, what frees it; and what the puts hold that wait for it. */
import { beforeEach, describe, expect, test } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import { advance, describe as describePartition, drop } from '../../../server/engine/partitions.ts';
import { claimOf, declareTest, readText } from '../../support/node.ts';
import { BudgetWorld, ends, sizeOf, type Outcome } from './budget_world.ts';

let world: BudgetWorld;

beforeEach(async () => (world = await BudgetWorld.open()));

describe('a budget of bytes', () => {
  test('counts the bytes of extents that live', async () => {
    const size = sizeOf([1]);
    await world.declare({ bytesMax: 2 * size });
    await world.put([1]);
    await world.put([2]);
    await expect(world.put([3])).rejects.toMatchObject({
      details: { budget: 'bytes_max', used: 2 * size, asked: size },
    });
    const late = await world.waiting([3]);
    await world.remove([1]);
    expect(await ends([late])).toEqual(['done']);
  });

  test('gives room when the last reader lets go of bytes, which no event says', async () => {
    const size = sizeOf([1]);
    await world.declare({ bytesMax: size });
    await world.put([1]);
    const claim = await claimOf(world.node, 'p', { fields: ['a'] });
    if (claim.kind !== 'claimed') throw new Error('nothing was claimed');
    await world.remove([1]);
    const late = await world.waiting([2]);
    expect(late.end).toBe('waits');
    claim.located.close();
    expect(await ends([late])).toEqual(['waits']);
    await endClaim(world.node, claim.token, 'release', '');
    expect(await ends([late])).toEqual(['done']);
  });

  test('gives room when cells are put over', async () => {
    const value = 'long '.repeat(1_000);
    await world.declare({ bytesMax: 2 * sizeOf([1], value) });
    await world.put([1], { value });
    await world.put([2], { value });
    const late = await world.waiting([3]);
    await world.put([1]);
    expect(await ends([late])).toEqual(['done']);
  });
});

describe('a pace', () => {
  test('admits rows in all by the current version', async () => {
    await world.declare({ pace: { rowsPerVersion: 2, maxAhead: 1 } });
    await world.put([1, 2, 3]);
    await expect(world.put([4, 5])).rejects.toMatchObject({ details: { budget: 'pace', limit: 4, used: 3, asked: 2 } });
    await world.put([4]);
    const outcomes = [await world.waiting([5, 6]), await world.waiting([7])];
    await world.remove([1, 2, 3, 4]);
    expect(await ends(outcomes)).toEqual(['waits', 'waits']);
    await advance(world.node, 'p', 1);
    expect(await ends(outcomes)).toEqual(['done', 'waits']);
    await advance(world.node, 'p', 5);
    expect(await ends(outcomes)).toEqual(['done', 'done']);
    expect(describePartition(world.node, world.node.partition('p'))).toMatchObject({
      version: 5,
      rows_admitted: 7,
      rows: 3,
    });
  });

  test('admits others in the place of rows that a task skipped', async () => {
    await world.declare({ pace: { rowsPerVersion: 2, maxAhead: 0 } });
    await world.put([1, 2]);
    const late = await world.waiting([3]);
    world.node.commit({ type: 'skip', partition: 1, task: 'train', fields: [0], ids: Float64Array.of(1) }, 'os');
    expect(await ends([late])).toEqual(['done']);
    await expect(world.put([4])).rejects.toMatchObject({ details: { budget: 'pace', limit: 2, used: 2 } });
  });

  test('lets a put in that is larger than what one version admits, one day', async () => {
    await world.declare({ pace: { rowsPerVersion: 1, maxAhead: 0 } });
    const large = await world.waiting([1, 2, 3]);
    await advance(world.node, 'p', 1);
    expect(await ends([large])).toEqual(['waits']);
    await advance(world.node, 'p', 2);
    expect(await ends([large])).toEqual(['done']);
  });

  test('counts by a version that only rises', async () => {
    await world.declare({});
    const lsn = await advance(world.node, 'p', 3);
    expect(await advance(world.node, 'p', 3)).toBeLessThanOrEqual(lsn);
    await expect(advance(world.node, 'p', 2)).rejects.toMatchObject({
      code: 'version_behind',
      details: { current: 3, asked: 2 },
    });
  });
});

describe('a budget of the node', () => {
  test('counts all partitions, and is freed by all', async () => {
    world = await BudgetWorld.open({ rowsMax: 3, bytesMax: 0 });
    for (const name of ['p', 'q', 'r']) await declareTest(world.node, name);
    await world.put([1, 2], { partition: 'p' });
    await world.put([1], { partition: 'q' });
    const first = await world.waiting([9], { partition: 'r' });
    expect(first.end).toBe('waits');
    await expect(world.put([5], { partition: 'q' })).rejects.toMatchObject({
      details: { of: 'node', budget: 'rows_max', limit: 3, used: 3 },
    });
    await world.remove([1], 'q');
    expect(await ends([first])).toEqual(['done']);
    const second = await world.waiting([8, 7], { partition: 'r' });
    await drop(world.node, 'p');
    expect(await ends([second])).toEqual(['done']);
  });

  test('is given in the order of arrival, over all partitions', async () => {
    world = await BudgetWorld.open({ rowsMax: 4, bytesMax: 0 });
    for (const name of ['p', 'q']) await declareTest(world.node, name);
    await world.declare({ rowsMax: 1 }, 'full');
    await world.put([1], { partition: 'full' });
    await world.put([1, 2, 3], { partition: 'p' });
    // One that its own partition has no room for holds up nobody else.
    const stuck = await world.waiting([2], { partition: 'full' });
    const outcomes = [await world.waiting([10, 11], { partition: 'q' }), await world.waiting([20], { partition: 'p' })];
    await world.remove([1]);
    expect(await ends([stuck, ...outcomes])).toEqual(['waits', 'waits', 'waits']);
    await expect(world.put([30], { partition: 'q' })).rejects.toMatchObject({ code: 'over_budget' });
    await world.remove([2]);
    expect(await ends([stuck, ...outcomes])).toEqual(['waits', 'done', 'waits']);
    await world.remove([1], 'full');
    expect(await ends([stuck, ...outcomes])).toEqual(['done', 'done', 'waits']);
    await world.remove([3]);
    expect(await ends(outcomes)).toEqual(['done', 'done']);
  });

  test('is not taken by who comes later and asks for less', async () => {
    world = await BudgetWorld.open({ rowsMax: 4, bytesMax: 0 });
    for (const name of ['p', 'q']) await declareTest(world.node, name);
    await world.put([1, 2, 3], { partition: 'p' });
    const first = await world.waiting([4, 5], { partition: 'p' });
    const second = await world.waiting([1], { partition: 'q' });
    expect(await ends([first, second])).toEqual(['waits', 'waits']);
    await world.remove([1]);
    expect(await ends([first, second])).toEqual(['done', 'waits']);
    await world.remove([2]);
    expect(await ends([first, second])).toEqual(['done', 'done']);
  });

  test('counts bytes too', async () => {
    const size = sizeOf([1]);
    world = await BudgetWorld.open({ rowsMax: 0, bytesMax: 2 * size });
    for (const name of ['p', 'q']) await declareTest(world.node, name);
    await world.put([1], { partition: 'p' });
    await world.put([1], { partition: 'q' });
    const late = await world.waiting([2], { partition: 'q' });
    await world.put([1], { partition: 'q', field: 'b' });
    expect(late.end).toBe('waits');
    await drop(world.node, 'p');
    expect(await ends([late])).toEqual(['waits']);
    await world.remove([1], 'q');
    expect(await ends([late])).toEqual(['done']);
  });
});

describe('what waiting puts hold', () => {
  const large = 'x'.repeat(600_000);

  test('is bounded by a quarter of the arena', async () => {
    await world.declare({ rowsMax: 1 });
    await world.put([1]);
    const outcomes: Outcome[] = [];
    for (let id = 2; id <= 6; id++) outcomes.push(await world.waiting([id], { value: large }));
    expect(outcomes.map(({ end }) => end)).toEqual(['waits', 'waits', 'waits', 'over_budget', 'over_budget']);
    expect(outcomes[3].details).toMatchObject({ reason: /as many bytes/ });
    await world.env.clock.advance(5_000);
    expect(await ends(outcomes)).toEqual(Array(5).fill('over_budget'));
    const again = await world.waiting([2], { value: large });
    expect(again.end).toBe('waits');
  });

  test('leaves the memory to puts that complete rows', async () => {
    await world.declare({ rowsMax: 64 });
    await world.put(Array.from({ length: 64 }, (_, id) => id));
    const late = [await world.waiting([100], { value: large }), await world.waiting([101], { value: large })];
    const small = await Promise.all(Array.from({ length: 50 }, (_, i) => world.waiting([200 + i])));
    // Much more than the whole arena.
    for (let id = 0; id < 64; id++) await world.put([id], { field: 'b', value: large });
    expect(await ends([...late, ...small])).toEqual(Array(52).fill('waits'));
    await world.remove([1, 2]);
    expect(await ends(late)).toEqual(['done', 'done']);
    expect(await readText(world.node, 'p', [100, 0], ['a'])).toMatchObject({ a: [`${large}100`, 'v0'] });
  });

  test('is memory at level memory, by whole segments', async () => {
    await declareTest(world.node, 'm', { ack: 'memory', queue: { rowsMax: 1 } });
    await world.put([1], { partition: 'm' });
    const outcomes: Outcome[] = [];
    for (let id = 2; id <= 5; id++) outcomes.push(await world.waiting([id], { partition: 'm', value: large }));
    expect(outcomes.map(({ end }) => end)).toEqual(['waits', 'waits', 'over_budget', 'over_budget']);
    await world.remove([1], 'm');
    expect(await ends(outcomes.slice(0, 2))).toEqual(['done', 'waits']);
    expect(await readText(world.node, 'm', [2], ['a'])).toMatchObject({ a: [`${large}2`] });
  });
});
