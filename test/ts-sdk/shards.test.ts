import { describe, expect, it } from 'vitest';
import { scalar, text, type Partition } from '../../ts-sdk/index.ts';
import { ShardMap, parseShardMap } from '../../ts-sdk/shards.ts';
import type { FakeServer } from './fake_server.ts';
import { rejection, rig, thrown, until } from './support.ts';

const two = [
  { id: 'n1', url: 'http://127.0.0.1:1' },
  { id: 'n2', url: 'http://127.0.0.1:2' },
];

describe('ShardMap', () => {
  it('splits rows by node, groups together, each row once', () => {
    const map = new ShardMap({ epoch: 1, shards: 64, nodes: two });
    const ids = Array.from({ length: 800 }, (_, i) => i);
    const shares = map.split(ids, 8);
    expect(shares.map(({ node }) => node.id)).toEqual(['n1', 'n2']);
    expect(shares.flatMap(({ positions }) => [...positions]).sort((a, b) => a - b)).toEqual(ids);
    expect(map.split([], 8)).toEqual([{ node: two[0], positions: new Uint32Array(0) }]);
    for (const { positions } of shares) {
      expect([...positions]).toEqual([...positions].sort((a, b) => a - b));
      const groups = new Set(Array.from(positions, (id) => Math.floor(id / 8)));
      expect(positions.length).toBe(8 * groups.size);
    }
  });

  it('gives all rows to the only node, which is reached where the caller reached it', () => {
    const map = parseShardMap(
      { epoch: 3, shards: 64, nodes: [{ id: 'n1', url: 'http://inside:1' }] },
      'http://outside:2',
    );
    expect(map.split([5, 6], 1)).toEqual([
      { node: { id: 'n1', url: 'http://outside:2' }, positions: Uint32Array.of(0, 1) },
    ]);
    expect(map.epoch).toBe(3);
  });

  it('is refused when it is none', () => {
    const good = { epoch: 1, shards: 64, nodes: two };
    for (const bad of [{}, { ...good, nodes: [] }, { ...good, shards: 0 }, { ...good, nodes: [{ id: 'n1' }] }]) {
      expect(thrown(() => parseShardMap(bad, 'http://a:1')).code).toBe('answer_invalid');
    }
  });
});

async function cluster(): Promise<{ fakes: [FakeServer, FakeServer]; train: Partition; ids: number[] }> {
  const [first, second] = [await rig(), await rig()];
  const fakes: [FakeServer, FakeServer] = [first.fake, second.fake];
  const nodes = fakes.map(({ url }, index) => ({ id: `n${index + 1}`, url }));
  for (const fake of fakes) fake.nodes = nodes;
  const train = await first.tq.partition('train', { fields: { x: scalar('int32'), name: text() }, groupSize: 2 });
  return { fakes, train, ids: Array.from({ length: 40 }, (_, i) => i) };
}

describe('a cluster of two', () => {
  it('changes no caller: put, get, stats, scan, delete, newest', async () => {
    const { fakes, train, ids } = await cluster();
    const result = await train.put({ x: ids, name: ids.map(String) }, { ids });
    expect([result.rows, result.lsns.length]).toEqual([40, 2]);
    const rows = fakes.map((fake) => fake.partitions.get('train')!.rows.size);
    expect(Math.min(...rows)).toBeGreaterThan(0);
    expect(rows[0] + rows[1]).toBe(40);
    expect((await train.get([])).rows).toBe(0);
    await train.put((await train.get([5, 6], { fields: ['x'] })).bytes);
    const order = ids.toReversed();
    const batch = await train.get(order);
    expect([batch.ids, [...batch.column('name')]]).toEqual([order, order.map(String)]);
    expect(batch.table().numRows).toBe(40);
    expect(await train.stats()).toMatchObject({ rows: 40, fieldRows: { x: 40, name: 40 }, groupSize: 2 });
    const seen: number[] = [];
    for await (const page of train.scan({ rowsMax: 7 })) seen.push(...page.ids);
    expect(seen.sort((a, b) => a - b)).toEqual(ids);
    expect(await train.delete([1, 2, 3, 99])).toMatchObject({ deleted: 3 });
    expect(await rejection(train.newest({ afterLsn: 1_000, waitMs: 1 }))).toMatchObject({ code: 'timed_out' });
    expect((await train.newest()).rows).toBe(1);
  });

  it('claims at each node in turn until all are drained', async () => {
    const { fakes, train, ids } = await cluster();
    const waiting = train.claim({ task: 't', fields: ['x'], batchSize: 1, waitMs: Infinity });
    await until(() => fakes.every((fake) => fake.count('claim') >= 1));
    await train.put({ x: ids }, { ids });
    const first = await waiting;
    if (first.outcome !== 'rows') throw new Error(first.outcome);
    await train.put({ name: ['done'] }, { ids: [first.batch.ids[0]], claim: first.batch });
    await train.seal();
    const seen = [...first.batch.ids];
    for await (const batch of train.consume({ task: 't', fields: ['x'], batchSize: 8 })) {
      seen.push(...batch.ids);
      await batch.ack();
    }
    expect(seen.sort((a, b) => a - b)).toEqual(ids);
    expect((await train.stats()).tasks.t).toEqual({ leased: 0, consumed: 40, claims: 0 });
  });

  it('acks the claim of a put last, also where the put has no rows on its node', async () => {
    const { fakes, train, ids } = await cluster();
    await train.put({ x: ids }, { ids });
    const claimAll = async (): Promise<string> => {
      const result = await train.claim({ task: 't', fields: ['x'], batchSize: 2 });
      if (result.outcome !== 'rows') throw new Error(result.outcome);
      const elsewhere = ids.filter(
        (id) =>
          !fakes
            .find(({ url }) => url === result.batch.url)!
            .partitions.get('train')!
            .rows.has(id),
      );
      await train.put({ name: ['a'] }, { ids: elsewhere.slice(0, 1), claim: result.batch });
      return fakes.find(({ url }) => url === result.batch.url)!.claims.get(result.batch.token)!.state;
    };
    expect(await claimAll()).toBe('acked');
  });

  it('splits a share anew when its node says that it moved, once', async () => {
    const { fakes, train, ids } = await cluster();
    const moved = { kind: 'answer', status: 421, code: 'wrong_node' } as const;
    fakes[1].fail('put', moved);
    expect((await train.put({ x: ids }, { ids })).rows).toBe(40);
    fakes[0].fail('claim', moved);
    const claim = await train.claim({ task: 't', fields: ['x'], batchSize: 1, autoAck: true });
    expect(claim.outcome).toBe('rows');
    fakes[0].fail('partition', moved, moved);
    expect(await rejection(train.stats())).toMatchObject({ code: 'wrong_node' });
    expect(fakes[0].count('cluster')).toBeGreaterThan(1);
  });
});
