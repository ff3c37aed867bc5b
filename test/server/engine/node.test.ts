/** The engine on a simulated Env: puts and reads, restarts, and what faults of the disk do to them. */
import { describe, expect, test } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { read } from '../../../server/engine/read.ts';
import { caller, claimOf, declareTest, openTestNode, putText, readText, valuesOf } from '../../support/node.ts';
import { settle, simEnv, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

async function open(env: SimEnv): Promise<OpenedNode> {
  return openTestNode(env, DIR);
}

/** The same directory as a new process finds it after kill -9. */
async function restarted(env: SimEnv): Promise<{ env: SimEnv; opened: OpenedNode }> {
  const next = simEnv(env.fs.afterCrash(), env.clock);
  return { env: next, opened: await open(next) };
}

describe('puts and reads', () => {
  test('rows come back in the order asked, newest cell first', async () => {
    const { node } = await open(simEnv());
    await declareTest(node, 'p');
    await putText(node, 'p', [1, 2, 3], 'a', ['one', 'two', 'three']);
    await putText(node, 'p', [2], 'a', ['TWO']);
    await putText(node, 'p', [3, 1], 'b', ['c', 'a']);
    expect(await readText(node, 'p', [3, 2, 1], ['a'])).toEqual({
      index_id: ['3', '2', '1'],
      a: ['three', 'TWO', 'one'],
    });
    expect(await readText(node, 'p', [1, 3])).toEqual({ index_id: ['1', '3'], a: ['one', 'three'], b: ['a', 'c'] });
    await expect(readText(node, 'p', [1, 2])).rejects.toMatchObject({
      code: 'rows_missing',
      details: { missing: [2], missing_count: 1 },
    });
  });

  test('a put is atomic: what is refused leaves nothing behind', async () => {
    const { node } = await open(simEnv());
    await declareTest(node, 'p', { fields: new Map([['a', { layout: 'bytes' }]]) });
    await expect(putText(node, 'p', [1, 1], 'a', ['x', 'y'])).rejects.toMatchObject({ code: 'ids_duplicate' });
    await expect(putText(node, 'p', [1], 'zzz', ['x'])).rejects.toMatchObject({ code: 'field_unknown' });
    await expect(readText(node, 'p', [1], ['a'])).rejects.toMatchObject({ code: 'rows_missing' });
    await putText(node, 'p', [1], 'a', ['x'], { ifAbsent: true });
    await expect(putText(node, 'p', [2, 1], 'a', ['y', 'z'], { ifAbsent: true })).rejects.toMatchObject({
      code: 'rows_exist',
      details: { ids: [1] },
    });
    await expect(readText(node, 'p', [2], ['a'])).rejects.toMatchObject({ code: 'rows_missing' });
  });

  test('a put whose partition is dropped meanwhile goes nowhere, not even to a new one of its name', async () => {
    const { node } = await open(simEnv());
    await declareTest(node, 'p');
    const putting = putText(node, 'p', [1], 'a', ['x'.repeat(2_000_000)]);
    const refused = expect(putting).rejects.toMatchObject({ code: 'partition_unknown' });
    await drop(node, 'p');
    await declareTest(node, 'p', { ack: 'memory' });
    await refused;
    expect(await readText(node, 'p', [], [])).toEqual({ index_id: [] });
  });

  test('a retry with the same request id acts once, also after a restart', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    const first = await putText(node, 'p', [1], 'a', ['x'], { requestId: 'r1' });
    expect(await putText(node, 'p', [1], 'a', ['other'], { requestId: 'r1' })).toEqual(first);
    const { opened } = await restarted(env);
    expect(await putText(opened.node, 'p', [1], 'a', ['other'], { requestId: 'r1' })).toEqual(first);
    expect(await readText(opened.node, 'p', [1])).toEqual({ index_id: ['1'], a: ['x'] });
  });

  test('a read that waits ends with the put that completes it, by time, or with the seal', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p', { fields: new Map([['a', { layout: 'bytes' }]]) });
    const want = (id: number, waitMs: number): ReturnType<typeof read> =>
      read(node, { partition: 'p', select: { by: 'ids', ids: Float64Array.of(id) }, fields: ['a'], waitMs }, caller);
    const waiting = want(7, 5_000);
    await putText(node, 'p', [7], 'a', ['seven']);
    const outcome = await waiting;
    expect(outcome.kind === 'rows' && (await valuesOf(node, outcome.located))).toEqual({
      index_id: ['7'],
      a: ['seven'],
    });
    const late = want(8, 5_000);
    await env.clock.advance(5_001);
    expect(await late).toEqual({ kind: 'timed_out', details: { missing: [8], missing_count: 1 } });
    const drained = want(9, 50_000);
    await seal(node, 'p');
    expect(await drained).toEqual({ kind: 'drained' });
    expect(node.waits.count).toBe(0);
  });

  test('the newest row is waited for by LSN', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'w', { fields: new Map([['a', { layout: 'bytes' }]]) });
    const newest = (afterLsn: number, waitMs: number): ReturnType<typeof read> =>
      read(node, { partition: 'w', select: { by: 'newest', afterLsn }, fields: ['a'], waitMs }, caller);
    await expect(newest(0, 0)).rejects.toMatchObject({ code: 'rows_missing' });
    const { lsn } = await putText(node, 'w', [1], 'a', ['v1']);
    const waiting = newest(lsn, 5_000);
    await settle();
    await putText(node, 'w', [2], 'a', ['v2']);
    const outcome = await waiting;
    expect(outcome.kind === 'rows' && (await valuesOf(node, outcome.located))).toEqual({ index_id: ['2'], a: ['v2'] });
    expect(await Promise.all([newest(1e6, 500), env.clock.advance(600)])).toMatchObject([
      { kind: 'timed_out' },
      undefined,
    ]);
  });
});

describe('restarts', () => {
  test('state after kill -9 equals state before: rows, deletes, seals, claims, drops', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p', { groupSize: 2 });
    await declareTest(node, 'gone');
    await putText(node, 'gone', [1], 'a', ['x']);
    await putText(node, 'p', [0, 1, 2, 3, 4], 'a', ['a0', 'a1', 'a2', 'a3', 'a4']);
    await deleteRows(node, 'p', { ids: Float64Array.of(4, 99), requestId: '' });
    const claimed = await claimOf(node, 'p', { fields: ['a'], sampler: 'group', rowsMax: 2 });
    await drop(node, 'gone');
    await seal(node, 'p');
    if (claimed.kind !== 'claimed') throw new Error('not claimed');
    const { opened } = await restarted(env);
    expect(await readText(opened.node, 'p', [3, 0])).toEqual({ index_id: ['3', '0'], a: ['a3', 'a0'] });
    await expect(readText(opened.node, 'p', [4])).rejects.toMatchObject({ code: 'rows_missing' });
    expect(() => opened.node.partition('gone')).toThrow('partition_unknown');
    await expect(putText(opened.node, 'p', [9], 'a', ['x'])).rejects.toMatchObject({ code: 'partition_sealed' });
    const second = await claimOf(opened.node, 'p', { fields: ['a'], sampler: 'group', rowsMax: 8 });
    expect(second.kind === 'claimed' && [...second.located.ids]).toEqual([2, 3]);
    await endClaim(opened.node, claimed.token, 'ack', '');
    expect(second.kind === 'claimed' && (await endClaim(opened.node, second.token, 'ack', ''))).toBeGreaterThan(0);
    expect(await claimOf(opened.node, 'p', { fields: ['a'] })).toEqual({ kind: 'drained' });
  });

  test('a claim and its retry read what was granted, also after an overwrite and a restart', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'a', ['granted']);
    const first = await claimOf(node, 'p', { fields: ['a'], requestId: 'c1' });
    await putText(node, 'p', [1], 'a', ['overwritten']);
    const retry = await claimOf(node, 'p', { fields: ['a'], requestId: 'c1' });
    if (first.kind !== 'claimed' || retry.kind !== 'claimed') throw new Error('not claimed');
    expect(retry.token).toBe(first.token);
    expect(await valuesOf(node, retry.located)).toEqual({ index_id: ['1'], a: ['granted'] });
    const { opened } = await restarted(env);
    const later = await claimOf(opened.node, 'p', { fields: ['a'], requestId: 'c1' });
    if (later.kind !== 'claimed') throw new Error('not claimed');
    expect(later.token).toBe(first.token);
    expect(await valuesOf(opened.node, later.located)).toEqual({ index_id: ['1'], a: ['granted'] });
    expect(await readText(opened.node, 'p', [1])).toEqual({ index_id: ['1'], a: ['overwritten'] });
  });

  test('a claim of a row that was deleted reads what was granted after a restart', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    await putText(node, 'p', [1, 2], 'a', ['deleted', 'kept']);
    await claimOf(node, 'p', { fields: ['a'], requestId: 'c1', rowsMax: 2 });
    await deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: '' });
    const { opened } = await restarted(env);
    const later = await claimOf(opened.node, 'p', { fields: ['a'], requestId: 'c1' });
    if (later.kind !== 'claimed') throw new Error('not claimed');
    expect(await valuesOf(opened.node, later.located)).toEqual({ index_id: ['1', '2'], a: ['deleted', 'kept'] });
    expect(opened.node.parts.state.store.extentsAfter(0)).toHaveLength(1);
  });

  test('a live lease gets its full length again after a restart, then its rows go to another', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'a', ['x']);
    await claimOf(node, 'p', { fields: ['a'], leaseMs: 10_000 });
    await env.clock.advance(9_000);
    const { env: next, opened } = await restarted(env);
    const waiting = claimOf(opened.node, 'p', { fields: ['a'], waitMs: 60_000 });
    await next.clock.advance(9_000);
    expect(opened.node.waits.count).toBe(1);
    await next.clock.advance(1_500);
    expect(await waiting).toMatchObject({ kind: 'claimed', attempts: Uint16Array.of(2) });
  });

  test('put-with-ack is one event: results and ack survive together or not at all', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'prompt', ['x']);
    const claim = await claimOf(node, 'p', { fields: ['prompt'] });
    if (claim.kind !== 'claimed') throw new Error('not claimed');
    await putText(node, 'p', [1], 'response', ['y'], { claim: claim.token });
    await seal(node, 'p');
    const { opened } = await restarted(env);
    expect(await claimOf(opened.node, 'p', { fields: ['prompt'] })).toEqual({ kind: 'drained' });
    const again = putText(opened.node, 'p', [1], 'response', ['z'], { claim: claim.token });
    await expect(again).rejects.toMatchObject({ code: 'claim_stale' });
    const forged = putText(opened.node, 'p', [1], 'response', ['z'], { claim: claim.token.replace('1-', '2-') });
    await expect(forged).rejects.toMatchObject({ code: 'claim_unknown' });
    expect(await readText(opened.node, 'p', [1], ['response'])).toMatchObject({ response: ['y'] });
  });

  test('a memory partition keeps its declaration and loses its rows, together with its claims', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'm', { ack: 'memory' });
    const answer = await putText(node, 'm', [1], 'a', ['x']);
    expect(answer.ack).toBe('memory');
    const claim = await claimOf(node, 'm', { fields: ['a'] });
    const { opened } = await restarted(env);
    expect(opened.node.partition('m').settings.ack).toBe('memory');
    await expect(readText(opened.node, 'm', [1])).rejects.toMatchObject({ code: 'rows_missing' });
    await expect(endClaim(opened.node, claim.kind === 'claimed' ? claim.token : '', 'ack', '')).rejects.toMatchObject({
      code: 'claim_unknown',
    });
  });
});

describe('faults of the disk', () => {
  test('a full disk refuses puts with 507; reads, claims and acks go on; puts resume', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    await putText(node, 'p', [1], 'a', ['x']);
    env.fs.faults.push({ action: 'write', path: /segments/, code: 'ENOSPC', times: 1, partial: 40 });
    await expect(putText(node, 'p', [2], 'a', ['y'])).rejects.toMatchObject({ code: 'disk_full', status: 507 });
    env.fs.faults.push({ action: 'write', path: /journal/, code: 'ENOSPC', times: 1, partial: 20 });
    env.fs.free = 0;
    const claim = await claimOf(node, 'p', { fields: ['a'] });
    await expect(putText(node, 'p', [3], 'a', ['z'])).rejects.toMatchObject({ code: 'disk_full' });
    if (claim.kind !== 'claimed') throw new Error('not claimed');
    await endClaim(node, claim.token, 'ack', '');
    expect(await readText(node, 'p', [1])).toMatchObject({ a: ['x'] });
    env.fs.free = 1e9;
    await env.clock.advance(3_000);
    await putText(node, 'p', [3], 'a', ['z']);
    expect(env.crashes).toEqual([]);
    const { opened } = await restarted(env);
    expect(await readText(opened.node, 'p', [1, 3])).toMatchObject({ a: ['x', 'z'] });
  });

  test('a failed sync ends the process and acknowledges nothing more', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p', { ack: 'disk' });
    await putText(node, 'p', [1], 'a', ['kept']);
    env.fs.faults.push({ action: 'datasync', path: /./, code: 'EIO', times: 1 });
    const put = putText(node, 'p', [2], 'a', ['y']).then(
      () => 'acknowledged',
      () => 'not acknowledged',
    );
    expect(await Promise.race([put, settle().then(() => 'not acknowledged')])).toBe('not acknowledged');
    expect(env.crashes.length).toBeGreaterThan(0);
    const { opened } = await restarted(env);
    expect(await readText(opened.node, 'p', [1])).toMatchObject({ a: ['kept'] });
  });

  test('a damaged block is an error of the rows in it, never other bytes', async () => {
    const env = simEnv();
    const opened = await open(env);
    await declareTest(opened.node, 'p');
    await putText(opened.node, 'p', [1], 'a', ['good']);
    await putText(opened.node, 'p', [2], 'a', ['damaged']);
    await opened.close();
    const fs = env.fs.afterCrash();
    const segment = fs.files.get('/data/segments/0000000001.seg')!.current;
    const at = segment.indexOf('damaged');
    segment[at] ^= 1;
    const next = await open(simEnv(fs));
    expect(await readText(next.node, 'p', [1])).toMatchObject({ a: ['good'] });
    await expect(readText(next.node, 'p', [2])).rejects.toMatchObject({ code: 'data_corrupt' });
    await expect(readText(next.node, 'p', [1, 2])).rejects.toMatchObject({ code: 'data_corrupt' });
  });
});

describe('power cuts', () => {
  test('disk puts survive; an os put whose bytes were lost is left out as a whole, and nothing else', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'os');
    await declareTest(node, 'disk', { ack: 'disk' });
    await putText(node, 'os', [1], 'a', ['synced']);
    await env.clock.advance(2_500);
    await putText(node, 'os', [2], 'a', ['lost']);
    const claim = await claimOf(node, 'os', { fields: ['a'], rowsMax: 2 });
    expect(claim.kind === 'claimed' && claim.located.ids.length).toBe(2);
    await putText(node, 'disk', [3], 'a', ['durable']);
    const fs = env.fs.afterPowerCut({
      keep: (path, current, durable) => (path.includes('segments') ? durable : current),
    });
    const { node: next, recovery } = await open(simEnv(fs));
    expect(recovery.voided).toHaveLength(1);
    expect(await readText(next, 'disk', [3])).toMatchObject({ a: ['durable'] });
    expect(await readText(next, 'os', [1])).toMatchObject({ a: ['synced'] });
    await expect(readText(next, 'os', [2])).rejects.toMatchObject({ code: 'rows_missing' });
  });

  test('what was synced is there with nothing but the durable bytes left', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'disk', { ack: 'disk' });
    for (let id = 0; id < 20; id++) await putText(node, 'disk', [id], 'a', [`value ${id}`]);
    const fs = env.fs.afterPowerCut({ keep: (_, __, durable) => durable });
    const { node: next } = await open(simEnv(fs));
    const ids = Array.from({ length: 20 }, (_, id) => id);
    expect(await readText(next, 'disk', ids)).toMatchObject({ a: ids.map((id) => `value ${id}`) });
  });

  test('a retry that asks for `disk` is not answered before what the first try did is durable', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    const requestId = 'once';
    await putText(node, 'p', [1], 'a', ['one'], { requestId });
    expect(await putText(node, 'p', [1], 'a', ['one'], { requestId, ack: 'disk' })).toMatchObject({ ack: 'disk' });
    const fs = env.fs.afterPowerCut({ keep: (_, __, durable) => durable });
    const { node: next } = await open(simEnv(fs));
    expect(await readText(next, 'p', [1])).toMatchObject({ a: ['one'] });
  });
});

describe('space', () => {
  test('a dropped partition gives its space back, once the drop is durable', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    const large = 'x'.repeat(400_000);
    for (let id = 0; id < 12; id++) await putText(node, 'p', [id], 'a', [large]);
    const used = (): number =>
      [...env.fs.files]
        .filter(([path]) => path.includes('segments'))
        .reduce((sum, [, file]) => sum + file.current.length, 0);
    expect(used()).toBeGreaterThan(4_800_000);
    await drop(node, 'p');
    expect(used()).toBeGreaterThan(4_800_000);
    await env.clock.advance(60_000);
    expect(used()).toBeLessThan(1_100_000);
  });

  test('a partition of many puts is gone at once, and its extents in steps, but for those that are read', async () => {
    const { node } = await open(simEnv());
    const { store } = node.parts.state;
    const count = (): number => [...store.extents()].length;
    const PUTS = 1_500;
    await declareTest(node, 'p');
    for (let id = 0; id < PUTS; id++) await putText(node, 'p', [id], 'a', [`${id}`]);
    const partition = node.partition('p');
    const select = { by: 'ids', ids: Float64Array.of(0) } as const;
    const reading = await read(node, { partition: 'p', select, fields: null, waitMs: 0 }, caller);
    if (reading.kind !== 'rows') throw new Error(reading.kind);
    const dropping = drop(node, 'p');
    expect(store.partition('p')).toBe(undefined);
    expect(count()).toBeGreaterThan(1);
    expect(count()).toBeLessThan(PUTS);
    await dropping;
    await node.stop();
    expect(count()).toBe(1);
    reading.located.close();
    expect([count(), partition.bytes]).toEqual([0, 0]);
  });

  test('overwriting for ever keeps the files bounded', async () => {
    const env = simEnv();
    const { node } = await open(env);
    await declareTest(node, 'p');
    let most = 0;
    for (let round = 0; round < 60; round++) {
      await putText(node, 'p', [1], 'a', [`${round}`.padEnd(300_000)]);
      await env.clock.advance(1_001);
      most = Math.max(most, [...env.fs.files.keys()].filter((path) => path.includes('segments')).length);
    }
    expect(most).toBeLessThan(8);
    expect(await readText(node, 'p', [1])).toMatchObject({ a: ['59'.padEnd(300_000)] });
  });
});
