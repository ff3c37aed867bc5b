/**
 * Checkpoints of users: what is saved is one moment of a busy node, and a load brings exactly that, or nothing.
 * TQ_LONG=1 tries 500 seeds.
 */
import { describe, expect, test, vi } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { seal } from '../../../server/engine/partitions.ts';
import { openStateSnapshot } from '../../../server/engine/saving.ts';
import { visiblePartitions } from '../../../server/engine/staging.ts';
import { StoreError } from '../../../server/errors.ts';
import { isSaved } from '../../../server/store/partition.ts';
import { claimOf, declareTest, openTestNode, putBody, putText, readText, valuesIn } from '../../support/node.ts';
import { isLong } from '../../support/runs.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';
import { load, rowsOf, save, savedState, stage, stageAll, viewOf, type Saved } from './load_world.ts';
import { dumpNode } from './node_dump.ts';
import { declareAll, Work } from './random_work.ts';

const DIR = '/data';

async function open(env: SimEnv = simEnv(SimFs.withReserve(DIR))): Promise<OpenedNode & { env: SimEnv }> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

function afterKill({ env }: { env: SimEnv }): ReturnType<typeof open> {
  return open(simEnv(env.fs.afterCrash(), env.clock));
}

function viewsOf(node: Node): Record<string, unknown> {
  const saved = visiblePartitions(node).filter(isSaved);
  return Object.fromEntries(saved.map((one) => [one.settings.name, viewOf(node.parts.state.queue(one))]));
}

function refusals(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

function codeOf(work: () => unknown): Promise<string> {
  return Promise.resolve()
    .then(work)
    .then(
      () => 'ok',
      (error: unknown) => (error as StoreError).code,
    );
}

/** What is in the files of a save is in the node. */
async function expectRows(node: Node, saved: readonly Saved[]): Promise<void> {
  for (const { name, state, bodies } of saved) {
    const sets = rowsOf(state);
    for (const body of bodies) {
      const values = valuesIn(body);
      const ids = values.index_id.map(Number);
      const { fields } = sets.find((set) => set.ids.includes(ids[0]))!;
      expect(await readText(node, name, ids, fields)).toEqual(values);
    }
  }
}

async function saveUnderLoad(seed: number): Promise<{ saved: Saved[]; views: Record<string, unknown> }> {
  const work = new Work(seed);
  const { node, env } = await open();
  await declareAll(node);
  const act = (): Promise<void> => work.step({ node, env }).catch(refusals);
  for (let step = 0; step < 150; step++) await act();
  // Both are of the turn in which the next checkpoint freezes the state.
  const views = node.checkpoints.atFreeze(() => viewsOf(node));
  const dropped = async (): Promise<void> => {
    const before = visiblePartitions(node).map(({ id }) => id);
    await act();
    if (visiblePartitions(node).some(({ id }, place) => id !== before[place]))
      throw new StoreError('partition_unknown');
  };
  const saved = await save(node, dropped);
  return { saved, views: await views };
}

describe('a save and a load', () => {
  const seeds = isLong ? 500 : 12;

  test.each(Array.from({ length: seeds }, (_, i) => i + 1))(
    'bring one moment of a busy node, seed %i',
    async (seed) => {
      const found = await saveUnderLoad(seed).catch((error: unknown) => {
        // The work dropped a partition on the way.
        refusals(error);
        return null;
      });
      if (found === null) return;
      const target = await open();
      await declareTest(target.node, 'other');
      const { rows } = await load(target.node, found.saved);
      expect({ ...viewsOf(target.node), other: null }).toEqual({ ...found.views, other: null });
      expect(rows).toBe(
        found.saved.reduce((sum, { state }) => sum + rowsOf(state).flatMap(({ ids }) => [...ids]).length, 0),
      );
      await expectRows(target.node, found.saved);
      // A start finds it, from the journal and then from a checkpoint; and the loaded partitions are good for work.
      const before = await dumpNode(target.node);
      const again = await afterKill(target);
      expect(await dumpNode(again.node)).toEqual(before);
      await again.node.checkpoints.run();
      const work = new Work(seed + 1_000);
      for (let step = 0; step < 60; step++) await work.step(again).catch(refusals);
      await again.node.checkpoints.run();
      await settle();
      const worked = await dumpNode(again.node);
      expect(await dumpNode((await afterKill(again)).node)).toEqual(worked);
    },
  );
});

async function sample(node: Node): Promise<void> {
  await declareTest(node, 'p', { queue: { tasks: [{ name: 'task', maxAttempts: 3 }], rowsMax: 4 } });
  await putText(node, 'p', [5, 3, 9], 'a', ['five', 'three', 'nine']);
  await putText(node, 'p', [3], 'b', ['drei']);
}

describe('what is saved', () => {
  test('rows that are leased are unclaimed, with as many attempts behind them as before', async () => {
    const { node, env } = await open();
    await sample(node);
    const take = { fields: ['a'], rowsMax: 1 };
    const first = await claimOf(node, 'p', { ...take, leaseMs: 1_000 });
    await env.clock.advance(1_500);
    const second = await claimOf(node, 'p', take);
    const third = await claimOf(node, 'p', take);
    if (third.kind !== 'claimed') throw new Error('no row');
    await endClaim(node, third.token, 'ack', '');
    expect([first.kind, second.kind === 'claimed' && [...second.attempts]]).toEqual(['claimed', [2]]);
    const saved = await save(node);
    const target = await open();
    await load(target.node, saved);
    const claimed = await claimOf(target.node, 'p', { fields: ['a'], rowsMax: 3 });
    if (claimed.kind !== 'claimed') throw new Error('no rows');
    expect([...claimed.located.ids]).toEqual([5, 9]);
    expect([...claimed.attempts]).toEqual([2, 1]);
    expect(await codeOf(() => endClaim(target.node, third.token, 'ack', ''))).not.toBe('ok');
  });

  test('is held from its moment on, and its lease begins when the client hears of it', async () => {
    const { node, env } = await open();
    await sample(node);
    const { promise: taken, resolve } = Promise.withResolvers<void>();
    env.fs.gate = (action, path) => (action === 'write' && path.includes('/tree/') ? taken : Promise.resolve());
    const opening = openStateSnapshot(node, 1_000);
    await env.clock.advance(5_000);
    await putText(node, 'p', [3], 'a', ['new']);
    resolve();
    const { snapshot, lsn } = await opening;
    expect(node.snapshots.list()).toEqual([{ snapshot, lsn }]);
    expect(rowsOf(await savedState(node, snapshot, 'p'))).toHaveLength(2);
    await env.clock.advance(1_000);
    expect(node.snapshots.list()).toEqual([]);
  });

  test('a snapshot without state, a partition declared since, and rows of memory partitions are refused', async () => {
    const { node } = await open();
    await sample(node);
    await declareTest(node, 'volatile', { ack: 'memory' });
    const plain = await node.snapshots.open(1_000);
    const { snapshot, partitions, left_out: leftOut } = await openStateSnapshot(node, 1_000);
    await declareTest(node, 'late');
    expect([partitions, leftOut]).toEqual([['p'], ['volatile']]);
    expect(await codeOf(() => savedState(node, plain.snapshot, 'p'))).toBe('lsn_unknown');
    expect(await codeOf(() => savedState(node, snapshot, 'late'))).toBe('lsn_unknown');
    expect(await codeOf(() => savedState(node, snapshot, 'volatile'))).toBe('lsn_unknown');
    expect(await codeOf(() => savedState(node, snapshot, 'none'))).toBe('partition_unknown');
    expect(await codeOf(() => savedState(node, snapshot, 'p'))).toBe('ok');
  });
});

describe('a load', () => {
  async function savedSample(): Promise<Saved[]> {
    const { node } = await open();
    await sample(node);
    return save(node);
  }

  test('is not seen before its commit, and refuses to replace what it was not told to', async () => {
    const saved = await savedSample();
    const { node } = await open();
    const staged = await stageAll(node, saved);
    expect(visiblePartitions(node)).toEqual([]);
    expect(await codeOf(() => node.partition(`~${staged}-0`))).toBe('partition_unknown');
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'z', ['old']);
    expect(await codeOf(() => node.loads.commit(staged, { replace: false }))).toBe('partition_exists');
    expect(await readText(node, 'p', [1])).toEqual({ index_id: ['1'], z: ['old'] });
    const waiting = codeOf(() => claimOf(node, 'p', { fields: ['z'], rowsMin: 2, waitMs: 60_000 }));
    const done = await node.loads.commit(staged, { replace: true });
    expect(await waiting).toBe('partition_unknown');
    expect(await node.loads.commit(staged, { replace: true })).toEqual(done);
    expect(await readText(node, 'p', [5, 3, 9], ['a'])).toMatchObject({ a: ['five', 'three', 'nine'] });
    expect(await codeOf(() => putText(node, 'p', [1, 2], 'a', ['1', '2']))).toBe('over_budget');
    await node.loads.close(staged);
    expect(await codeOf(() => node.loads.commit(staged, { replace: true }))).toBe('load_unknown');
  });

  test('whose rows are not those of the state, or whose bytes are damaged, changes nothing', async () => {
    const [{ name, state, bodies }] = await savedSample();
    const { node } = await open();
    await declareTest(node, 'before');
    const lacking = await stageAll(node, [{ name, state, bodies: bodies.slice(1) }]);
    expect(await codeOf(() => node.loads.commit(lacking, { replace: false }))).toBe('load_invalid');
    await node.loads.close(lacking);
    const { load: more } = node.loads.open(60_000);
    const staging = await stage(node, more, name, state);
    await putText(node, staging, [77], 'a', ['surplus']);
    expect(await codeOf(() => node.loads.commit(more, { replace: false }))).toBe('load_invalid');
    await node.loads.close(more);
    for (let at = 0; at < state.length; at += 7) {
      const damaged = Buffer.from(state);
      damaged[at] ^= 1 << (at % 8);
      const { load: one } = node.loads.open(60_000);
      expect(await codeOf(() => stage(node, one, name, damaged))).toBe('load_invalid');
      await node.loads.close(one);
    }
    expect(visiblePartitions(node).map(({ settings }) => settings.name)).toEqual(['before']);
    expect(node.parts.state.store.partitionCount).toBe(1);
  });

  test('takes no put once it is committed, and gives the memory of its queue back when it is refused', async () => {
    const saved = await savedSample();
    const [{ name, state, bodies }] = saved;
    const { node } = await open();
    const bytesFree = (): number => {
      const [{ slots }] = node.parts.state.queues();
      return slots.bitmaps.bytesFree();
    };
    await declareTest(node, 'before');
    const free = bytesFree();
    const { load: one } = node.loads.open(60_000);
    const staging = await stage(node, one, name, state);
    for (const body of bodies.slice(1)) await putBody(node, staging, body);
    const begun = codeOf(() => putBody(node, staging, bodies[0]));
    const lacking = codeOf(() => node.loads.commit(one, { replace: false }));
    const late = codeOf(() => putBody(node, staging, bodies[0]));
    expect([await begun, await lacking, await late]).toEqual(['load_invalid', 'load_invalid', 'load_invalid']);
    await node.loads.close(one);
    expect(bytesFree()).toBe(free);

    const two = await stageAll(node, saved.slice(0, 1));
    const committing = node.loads.commit(two, { replace: false });
    const surplus: string[] = [];
    for (let id = 77; id < 87; id++)
      surplus.push(await codeOf(() => putText(node, `~${two}-0`, [id], 'a', ['surplus'])));
    expect(await committing).toMatchObject({ rows: rowsOf(state).reduce((sum, { ids }) => sum + ids.length, 0) });
    expect(new Set(surplus)).toEqual(new Set(['load_invalid', 'partition_unknown']));
  });

  test('that nobody ends leaves nothing, neither when its lease expires nor when the node starts anew', async () => {
    const saved = await savedSample();
    const first = await open();
    const expiring = await stageAll(first.node, saved);
    expect(first.node.parts.state.store.partitionCount).toBe(1);
    await first.env.clock.advance(60_000);
    expect(first.node.parts.state.store.partitionCount).toBe(0);
    expect(await codeOf(() => stage(first.node, expiring, 'p', saved[0].state))).toBe('load_unknown');
    await stageAll(first.node, saved);
    await first.node.checkpoints.run();
    const second = await afterKill(first);
    expect(second.node.parts.state.store.partitionCount).toBe(0);
    await load(second.node, saved);
    expect(await readText(second.node, 'p', [3])).toEqual({ index_id: ['3'], a: ['three'], b: ['drei'] });
  });

  test('whose commit began takes no state any more, and one that was refused may be staged again', async () => {
    const [{ name, state, bodies }] = await savedSample();
    const { node } = await open();
    const one = await stageAll(node, [{ name, state, bodies }]);
    const { promise: room, resolve } = Promise.withResolvers<void>();
    vi.spyOn(node, 'journalRoom').mockReturnValueOnce(room);
    const late = codeOf(() => stage(node, one, 'late', state));
    await settle();
    const committing = node.loads.commit(one, { replace: false });
    resolve();
    expect([await late, (await committing).rows]).toEqual(['load_invalid', 3]);
    expect([...node.parts.state.store.partitions()].map(({ settings }) => settings.name)).toEqual(['p']);
    const { load: two } = node.loads.open(60_000);
    vi.spyOn(node, 'checkRoom').mockImplementationOnce(() => {
      throw new StoreError('disk_full');
    });
    expect(await codeOf(() => stage(node, two, 'again', state))).toBe('disk_full');
    await stage(node, two, 'other', state);
    const staging = await stage(node, two, 'again', state);
    for (const body of bodies) await putBody(node, staging, body);
  });

  test('has its lease stand still while the server works for it', async () => {
    const [{ name, state, bodies }] = await savedSample();
    const { node, env } = await open();
    const { load: one } = node.loads.open(1_000);
    const held = vi.spyOn(node, 'journalRoom');
    const during = async <T>(work: () => Promise<T>): Promise<T> => {
      const { promise: room, resolve } = Promise.withResolvers<void>();
      held.mockReturnValueOnce(room);
      const done = work();
      await env.clock.advance(5_000);
      resolve();
      return done;
    };
    const staging = await during(() => stage(node, one, name, state));
    for (const body of bodies) await putBody(node, staging, body);
    await env.clock.advance(900);
    const loaded = await during(() => node.loads.commit(one, { replace: false }));
    expect(await node.loads.commit(one, { replace: false })).toEqual(loaded);
    await env.clock.advance(1_000);
    expect(await codeOf(() => node.loads.commit(one, { replace: false }))).toBe('load_unknown');
  });

  test('is asked for the bytes of a state only once there is room for them, and gives it back', async () => {
    const [{ name, state, bodies }] = await savedSample();
    const { node } = await open();
    const { sizeMax } = node.states;
    const receive = vi.fn(() => Promise.resolve(state));
    expect(await codeOf(() => node.loads.stage('0-0', name, { size: 1, receive }))).toBe('load_unknown');
    const one = await stageAll(node, [{ name, state, bodies }]);
    expect(node.states.size).toBe(state.length);
    const { load: other } = node.loads.open(60_000);
    const details = { limit: sizeMax, reason: expect.stringContaining('states_bytes_max') as string };
    for (const [which, code] of [
      [other, 'memory_full'],
      [one, 'body_too_large'],
    ]) {
      const refused = node.loads.stage(which, 'q', { size: sizeMax, receive });
      await expect(refused).rejects.toMatchObject({ code, details });
    }
    expect(receive).not.toHaveBeenCalled();
    expect(await codeOf(() => stage(node, one, name, state))).toBe('ok');
    expect(await codeOf(() => stage(node, one, name, Buffer.concat([state, Buffer.alloc(8)])))).toBe('load_invalid');
    expect(await codeOf(() => stage(node, other, 'q', Buffer.alloc(9)))).toBe('load_invalid');
    receive.mockRejectedValueOnce(new StoreError('request_timeout'));
    expect(await codeOf(() => node.loads.stage(other, 'q', { size: 1, receive }))).toBe('request_timeout');
    expect(node.states.size).toBe(state.length);
    await node.loads.commit(one, { replace: false });
    expect(node.states.size).toBe(0);
    await stage(node, other, 'q', state);
    await node.loads.close(other);
    expect(node.states.size).toBe(0);
  });

  test('is there as a whole or not at all, wherever the node is killed', async () => {
    const { node } = await open();
    await declareAll(node);
    const work = new Work(7);
    for (let step = 0; step < 80; step++) await work.step({ node, env: simEnv() }).catch(refusals);
    await seal(node, 'p').catch(refusals);
    const saved = await save(node);
    const target = await open();
    await declareTest(target.node, 'p');
    await putText(target.node, 'p', [1], 'a', ['old']);
    await target.node.makeDurable();
    const old = viewsOf(target.node);
    const { fs } = target.env;
    const disks: SimFs[] = [];
    fs.onChange = () => disks.push(fs.afterCrash(), fs.afterPowerCut({ keep: (_path, _current, durable) => durable }));
    await load(target.node, saved, true);
    const acknowledged = disks.length;
    await target.node.checkpoints.run();
    fs.onChange = () => undefined;
    const whole = viewsOf(target.node);
    const found = new Set<boolean>();
    for (const [place, disk] of disks.entries()) {
      const again = await open(simEnv(disk));
      const views = viewsOf(again.node);
      const isWhole = Object.keys(views).length > 1;
      expect(views).toEqual(isWhole ? whole : old);
      if (place >= acknowledged) expect(isWhole).toBe(true);
      expect(again.node.parts.state.store.partitionCount).toBe(visiblePartitions(again.node).length);
      if (isWhole) await expectRows(again.node, saved);
      found.add(isWhole);
    }
    expect(found.size).toBe(2);
  });
});
