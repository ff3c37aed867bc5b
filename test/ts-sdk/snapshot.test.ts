/** Snapshots as the client gives them: what a read at one asks for, and how its lease goes. */
import { describe, expect, it } from 'vitest';
import { GiveUpError, Snapshot, WaitForOthersError, scalar, type Partition } from '../../ts-sdk/index.ts';
import type { FakeServer } from './fake_server.ts';
import { rejection, rig, type Rig } from './support.ts';

const ids = Array.from({ length: 20 }, (_, id) => id);

async function withRows(): Promise<Rig & { train: Partition }> {
  const made = await rig();
  const train = await made.tq.partition('train', { fields: { x: scalar('int32') } });
  await train.put({ x: ids.map((id) => id * 10) }, { ids });
  return { ...made, train };
}

async function idsOf(train: Partition, options: { lsn: number | Snapshot; rowsMax?: number }): Promise<number[]> {
  const seen: number[] = [];
  for await (const batch of train.scan(options)) seen.push(...batch.ids);
  return seen.sort((a, b) => a - b);
}

describe('reads at a snapshot', () => {
  it('see its rows and no others, page by page and in halves', async () => {
    const { fake, tq, train } = await withRows();
    const snapshot = await tq.snapshot({ leaseMs: 5_000 });
    await train.delete(ids.slice(0, 10));
    await train.put({ x: [-1, -2] }, { ids: [15, 30] });
    fake.limits.answer_rows_max = 6;
    for (const lsn of [snapshot.lsn, snapshot]) {
      const batch = await train.get(ids, { lsn });
      expect([...batch.column('x')]).toEqual(ids.map((id) => id * 10));
      expect(await idsOf(train, { lsn, rowsMax: 3 })).toEqual(ids);
    }
    expect([...(await train.get([15])).column('x')]).toEqual([-1]);
    expect(await rejection(train.get([30], { lsn: snapshot.lsn }))).toMatchObject({ code: 'rows_missing' });
    await snapshot.close();
    const gone = await rejection(train.get([15], { lsn: snapshot.lsn }));
    expect(gone).toBeInstanceOf(GiveUpError);
    expect(gone).toMatchObject({ code: 'lsn_unknown', status: 410 });
    expect(await rejection(idsOf(train, { lsn: snapshot }))).toMatchObject({ code: 'lsn_unknown' });
  });
});

describe('a lease', () => {
  it('is renewed by hand and closed once', async () => {
    const { fake, tq } = await rig();
    const snapshot = await tq.snapshot();
    await snapshot.renew();
    await snapshot.renew({ leaseMs: 250 });
    expect([fake.snapshots.leasesMs, snapshot.leaseMs]).toEqual([[60_000, 60_000, 250], 250]);
    await snapshot.close();
    await snapshot.close();
    expect(fake.count('closeSnapshot')).toBe(1);
    expect(await rejection(snapshot.renew())).toMatchObject({ code: 'lsn_unknown', kind: 'give_up' });
  });

  it('ends with the block, and quietly when it was over, or the client is closed', async () => {
    const { fake, tq } = await rig();
    {
      await using snapshot = await tq.snapshot();
      expect(fake.snapshots.held.size).toBe(1);
      expect(snapshot).toBeInstanceOf(Snapshot);
    }
    expect(fake.snapshots.held.size).toBe(0);
    const over = await tq.snapshot();
    fake.snapshots.held.clear();
    await over.close();
    const own = async (): Promise<void> => {
      await using _snapshot = await tq.snapshot();
      await tq.close();
      throw new Error('the own one of the user');
    };
    expect((await rejection(own())).message).toBe('the own one of the user');
  });

  it('is refused when too many are open, or the call is aborted', async () => {
    const { fake, tq } = await rig({ retry: { attemptsMax: 1 } });
    fake.fail('openSnapshot', { kind: 'answer', status: 503, code: 'too_many_snapshots' });
    const refused = await rejection(tq.snapshot());
    expect(refused).toBeInstanceOf(WaitForOthersError);
    expect(refused).toMatchObject({ code: 'too_many_snapshots' });
    const signal = AbortSignal.abort(new Error('no more'));
    expect((await rejection(tq.snapshot({ signal }))).message).toBe('no more');
    expect(fake.snapshots.held.size).toBe(0);
  });
});

describe('several nodes', () => {
  async function cluster(): Promise<{ tq: Rig['tq']; fakes: [FakeServer, FakeServer]; train: Partition }> {
    const [first, second] = [await rig({ retry: { attemptsMax: 1 } }), await rig()];
    const fakes: [FakeServer, FakeServer] = [first.fake, second.fake];
    const nodes = fakes.map(({ url }, index) => ({ id: `n${index + 1}`, url }));
    for (const fake of fakes) fake.nodes = nodes;
    const train = await first.tq.partition('train', { fields: { x: scalar('int32') } });
    return { tq: first.tq, fakes, train };
  }

  it('hold their states each, and reads name that of the node', async () => {
    const { tq, fakes, train } = await cluster();
    await train.put({ x: ids }, { ids });
    // LSNs of one node mean nothing to another.
    await Promise.all([1, 2, 3].map(() => train.put({ x: [0] }, { ids: [0] })));
    await using snapshot = await tq.snapshot();
    const lsns = fakes.map(({ snapshots }) => [...snapshots.held.values()][0].lsn);
    expect([new Set(lsns).size, snapshot.lsn]).toEqual([2, Math.max(...lsns)]);
    await train.delete(ids);
    expect((await train.get(ids, { lsn: snapshot })).ids).toEqual(ids);
    expect(await idsOf(train, { lsn: snapshot })).toEqual(ids);
    expect(await rejection(train.get([1], { lsn: snapshot.lsn }))).toMatchObject({ code: 'input_invalid' });
  });

  it('hold nothing when one of them refuses, and a node that came later holds nothing either', async () => {
    const { tq, fakes } = await cluster();
    fakes[1].fail('openSnapshot', { kind: 'answer', status: 500, code: 'internal' });
    expect(await rejection(tq.snapshot())).toMatchObject({ code: 'internal' });
    expect(fakes.map(({ snapshots }) => snapshots.held.size)).toEqual([0, 0]);
    const snapshot = await tq.snapshot();
    expect(() => snapshot.lsnAt('http://later:1')).toThrow('lsn_unknown');
    await snapshot.close();
    expect(fakes.map(({ snapshots }) => snapshots.held.size)).toEqual([0, 0]);
  });
});
