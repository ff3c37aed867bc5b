/** Leases, dead letters, another epoch, held bytes and changes, on the real server. */
import { describe, expect, it } from 'vitest';
import { type Change } from '../../ts-sdk/index.ts';
import { realRig, words } from './real.ts';
import { rejection } from './support.ts';

const real = realRig();

describe('tasks', () => {
  it('tell their leases', async () => {
    const rows = await real.fresh(3);
    const claim = await rows.claim({ ...words, leaseMs: 20_000 });
    const [lease, ...others] = await rows.leases();
    expect(others).toEqual([]);
    expect(lease).toMatchObject({ task: 't', rows: 2, ids: [0, 1], attemptsMax: 1, leaseMs: 20_000, fields: ['x'] });
    expect(lease.leftMs).toBeLessThanOrEqual(20_000);
    if (claim.outcome === 'rows') await claim.batch.ack();
    expect(await rows.leases()).toEqual([]);
  });

  it('have dead letters, which can be queued anew', async () => {
    const rows = await real.fresh(5, { tasks: { t: { maxAttempts: 2 } } });
    for (let attempt = 1; attempt <= 2; attempt++) {
      const claim = await rows.claim({ ...words, batchSize: 4 });
      if (claim.outcome === 'rows') await claim.batch.release();
    }
    expect([...(await rows.deadLetters('t'))]).toEqual([
      [0, 2],
      [1, 2],
      [2, 2],
      [3, 2],
    ]);
    expect((await rows.deadLetters('t', { rowsMax: 3 })).size).toBe(3);
    expect(await rows.claim(words)).toMatchObject({ outcome: 'timed_out', ready: 1, dead: 4 });
    expect(await rows.requeue('t', { ids: [0, 4] })).toBe(1);
    expect(await rows.requeue('t')).toBe(3);
    const again = await rows.claim({ ...words, batchSize: 5 });
    expect(again.outcome === 'rows' && [...again.batch.attempts]).toEqual([1, 1, 1, 1, 1]);
    const unknown = { code: 'task_unknown' };
    expect(await rejection(rows.deadLetters('u'))).toMatchObject(unknown);
    expect(await rejection(rows.requeue('u'))).toMatchObject(unknown);
    expect(await rejection(rows.requeue('u', { ids: [1] }))).toMatchObject(unknown);
  });

  it('begin anew, and claims of before are stale', async () => {
    const rows = await real.fresh(4);
    await rows.claim({ ...words, autoAck: true });
    const held = await rows.claim(words);
    expect(await rows.resetConsumption('t')).toBe(4);
    expect(held.outcome === 'rows' && (await rejection(held.batch.ack()))).toMatchObject({ code: 'claim_stale' });
    expect(await rows.claim({ ...words, batchSize: 4 })).toMatchObject({ outcome: 'rows' });
    expect(await rejection(rows.resetConsumption('u'))).toMatchObject({ code: 'task_unknown' });
  });
});

describe('whyHeld', () => {
  it('says who needs a row', async () => {
    const rows = await real.fresh(2, { tasks: ['t'], release: 'consumed' });
    const claim = await rows.claim({ ...words, batchSize: 1 });
    await using snapshot = await real.tq.snapshot();
    const held = await rows.whyHeld(0);
    expect(held).toMatchObject({ id: 0, there: true, release: 'consumed', retention: null });
    expect(held.fields.x).toMatchObject({ rows: 2, rowsLive: 2 });
    expect(held.tasks).toEqual([{ task: 't', declared: true, state: 'leased', returns: 0 }]);
    expect(held.claims).toMatchObject([{ task: 't', state: 'leased', granted: true }]);
    expect(held.claims[0].leftMs).toBeGreaterThan(0);
    expect(held.snapshots).toMatchObject([{ lsn: snapshot.lsn }]);
    expect(held.because).toMatch(/\w+/);
    expect(claim.outcome).toBe('rows');
    expect(await rejection(rows.whyHeld(9))).toMatchObject({ code: 'rows_missing' });
    expect(await rejection(rows.whyHeld(-1))).toMatchObject({ code: 'index_id_invalid' });
  });
});

describe('watch', () => {
  it('tells every change once, in order', async () => {
    const rows = await real.fresh(0);
    const changes = rows.watch({ waitMs: 60_000 });
    await changes.begin();
    const { lsn } = await rows.put({ x: [1, 2] }, { ids: [1, 2] });
    await rows.tag([1], { a: 1 });
    const claim = await rows.claim({ ...words, batchSize: 1 });
    if (claim.outcome === 'rows') await claim.batch.ack();
    await rows.delete([2]);
    await rows.seal();
    const seen: Change[] = [];
    for await (const change of changes) {
      seen.push(change);
      if (change.change === 'seal') break;
    }
    expect(seen.map(({ change, ids }) => [change, ...ids])).toEqual([
      ['put', 1, 2],
      ['tag', 1],
      ['claim', 1],
      ['ack', 1],
      ['delete', 2],
      ['seal'],
    ]);
    expect(seen[0]).toEqual({ lsn, change: 'put', rows: 2, ids: [1, 2], fields: ['x'], task: undefined });
    expect(seen[2].task).toBe('t');
  });

  it('waits for changes, and ends when none comes', async () => {
    const rows = await real.fresh(0);
    const changes = rows.watch({ waitMs: Infinity });
    await changes.begin();
    const next = changes.next();
    await rows.put({ x: [1] }, { ids: [1] });
    expect((await next).value).toMatchObject({ change: 'put', ids: [1] });
    await changes.return();
    const quiet: Change[] = [];
    for await (const change of rows.watch({ waitMs: 5 })) quiet.push(change);
    expect(quiet).toEqual([]);
  });

  it('says when changes were missed', async () => {
    const rows = await real.fresh(2);
    const { lsn } = await rows.put({ x: [1] }, { ids: [7] });
    const first = await rows.watch({ afterLsn: 0 }).next();
    expect(first.value).toMatchObject({ change: 'missed' });
    await rows.put({ x: [1] }, { ids: [8] });
    const after = await rows.watch({ afterLsn: lsn, waitMs: 60_000 }).next();
    expect(after.value).toMatchObject({ change: 'put', ids: [8] });
  });

  it('ends while it waits, by its signal and by return', async () => {
    const rows = await real.fresh(0);
    const controller = new AbortController();
    const cut = rejection(rows.watch({ signal: controller.signal }).next());
    const changes = rows.watch();
    await changes.begin();
    const waiting = changes.next();
    controller.abort(new Error('enough'));
    expect((await cut).message).toBe('enough');
    await changes.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});
