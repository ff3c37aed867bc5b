import { describe, expect, it } from 'vitest';
import { scalar, type ClaimedBatch, type ClaimOptions, type Partition } from '../../ts-sdk/index.ts';
import { rejection, rig, until, type Rig } from './support.ts';

const look: ClaimOptions = { task: 'look', fields: ['x'], batchSize: 2 };

async function rigWithRows(count: number): Promise<Rig & { train: Partition }> {
  const made = await rig();
  const train = await made.tq.partition('train', { fields: { x: scalar('int32'), y: scalar('int32') } });
  const ids = Array.from({ length: count }, (_, i) => i);
  if (count > 0) await train.put({ x: ids }, { ids });
  return { ...made, train };
}

async function claimed(train: Partition, more: Partial<ClaimOptions> = {}): Promise<ClaimedBatch> {
  const result = await train.claim({ ...look, ...more });
  if (result.outcome !== 'rows') throw new Error(result.outcome);
  return result.batch;
}

describe('claim', () => {
  it('comes to one of three ends', async () => {
    const { train } = await rigWithRows(3);
    await train.put({ y: [1] }, { ids: [9] });
    const batch = await claimed(train);
    expect([batch.ids, [...batch.attempts], batch.fields, batch.leaseMs]).toEqual([[0, 1], [1, 1], ['x'], 30_000]);
    expect(await train.claim(look)).toMatchObject({ outcome: 'timed_out', ready: 1, leased: 2, incomplete: 1 });
    await batch.ack();
    await train.delete([9]);
    await train.seal();
    const last = await claimed(train);
    expect(last.ids).toEqual([2]);
    await last.ack();
    expect(await train.claim({ ...look, waitMs: 60_000 })).toEqual({ outcome: 'drained' });
  });

  it('waits until rows come', async () => {
    const { fake, train } = await rigWithRows(0);
    const waiting = claimed(train, { waitMs: Infinity });
    await until(() => fake.count('claim') === 1);
    await train.put({ x: [1, 2] }, { ids: [1, 2] });
    const batch = await waiting;
    expect(batch.ids).toEqual([1, 2]);
    await batch.release();
  });

  it('asks again when one wait of the server is over, for as long as it may', async () => {
    const made = await rig();
    made.fake.limits.wait_ms_max = 2;
    const train = await made.tq.partition('train', { fields: { x: scalar('int32') } });
    const waiting = claimed(train, { waitMs: Infinity });
    await until(() => made.fake.count('claim') > 3);
    await train.put({ x: [1, 2] }, { ids: [1, 2] });
    await (await waiting).ack();
  });

  it('gets the same rows when its answer is lost', async () => {
    const { fake, train } = await rigWithRows(4);
    fake.fail('claim', { kind: 'break', acts: true }, { kind: 'half' });
    const batch = await claimed(train);
    expect(batch.ids).toEqual([0, 1]);
    expect(fake.claims.size).toBe(1);
    await batch.release();
  });

  it('hands released rows out again, with the attempt counted', async () => {
    const { train } = await rigWithRows(2);
    const first = await claimed(train);
    await first.release();
    await first.release();
    expect(await rejection(first.ack())).toMatchObject({ code: 'claim_stale' });
    await using second = await claimed(train);
    expect([...second.attempts]).toEqual([2, 2]);
  });

  it('is released at the end of its block, unless it was acked', async () => {
    const { fake, train } = await rigWithRows(4);
    {
      await using batch = await claimed(train);
      expect(batch.isHeld).toBe(true);
    }
    {
      await using batch = await claimed(train);
      await batch.ack();
    }
    expect([...fake.claims.values()].map(({ state }) => state)).toEqual(['released', 'acked']);
  });

  it('is acked once, also by two at a time', async () => {
    const { fake, train } = await rigWithRows(2);
    const batch = await claimed(train);
    await Promise.all([batch.ack(), batch.ack(), batch.release()]);
    expect([fake.count('ack'), fake.count('release')]).toEqual([1, 0]);
  });

  it('says when its rows went to another consumer', async () => {
    const { fake, train } = await rigWithRows(2);
    const batch = await claimed(train);
    fake.makeStale(batch.token);
    expect(await rejection(batch.ack())).toMatchObject({ code: 'claim_stale', kind: 'give_up' });
    expect([batch.isHeld, batch.signal.aborted]).toEqual([false, true]);
    await batch.release();
    expect(await rejection(batch.ack())).toMatchObject({ code: 'claim_stale' });
  });

  it('renews its lease while it is held, and stops when the lease is lost', async () => {
    const { fake, train } = await rigWithRows(2);
    const batch = await claimed(train, { leaseMs: 3, holdMaxMs: 1e9 });
    const claim = fake.claims.get(batch.token)!;
    await until(() => claim.renewals >= 3);
    fake.makeStale(batch.token);
    await until(() => batch.signal.aborted);
    expect(batch.signal.reason).toMatchObject({ code: 'claim_stale' });
    const { renewals } = claim;
    expect((await rejection(batch.ack())).cause).toBeUndefined();
    expect(claim.renewals).toBe(renewals);
  });

  it('renews no longer than holdMaxMs, and may be acked even then', async () => {
    const { fake, train, runtime } = await rigWithRows(2);
    const batch = await claimed(train, { leaseMs: 3, holdMaxMs: 100 });
    const claim = fake.claims.get(batch.token)!;
    await until(() => claim.renewals >= 1);
    await runtime.sleep(100, undefined);
    let before = -1;
    while (before !== claim.renewals) {
      before = claim.renewals;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await batch.ack();
    expect(claim.state).toBe('acked');
  });

  it('survives a renewal that fails', async () => {
    const { fake, train } = await rigWithRows(2);
    fake.fail(
      'renew',
      { kind: 'answer', status: 500, code: 'internal' },
      { kind: 'answer', status: 507, code: 'disk_full' },
    );
    const batch = await claimed(train, { leaseMs: 3 });
    await until(() => fake.claims.get(batch.token)!.renewals >= 1);
    await batch.ack();
  });

  it('needs no ack when it acks itself', async () => {
    const { fake, train } = await rigWithRows(2);
    const batch = await claimed(train, { autoAck: true });
    expect(batch.isHeld).toBe(false);
    await batch.ack();
    expect([fake.count('ack'), (await train.stats()).tasks.look]).toEqual([0, { leased: 0, consumed: 2, claims: 0 }]);
  });

  it('is renewed no more when the client closes', async () => {
    const { fake, train, tq } = await rigWithRows(2);
    const batch = await claimed(train, { leaseMs: 3 });
    await until(() => fake.claims.get(batch.token)!.renewals >= 1);
    await tq.close();
    expect([batch.isHeld, batch.signal.aborted]).toEqual([false, true]);
  });
});
