/** The words of the queue where answers are lost, refused or wrong, and with several nodes, by scripted answers. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { blob, keyId, scalar, type Partition } from '../../ts-sdk/index.ts';
import type { Fault, FakeServer } from './fake_server.ts';
import { rejection, rig, until, type Rig } from './support.ts';

const fields = { x: scalar('int32') };
const says = (json: object, headers: Record<string, string> = {}): Fault => {
  return { kind: 'answer', status: 200, headers, body: JSON.stringify(json) };
};
const ends = (outcome: string): Fault => says({ ready: 0, leased: 0, incomplete: 0 }, { 'tq-outcome': outcome });
const lost: Fault = { kind: 'break', acts: false };
const full: Fault = { kind: 'answer', status: 429, code: 'over_budget' };

async function one(): Promise<Rig & { train: Partition }> {
  const made = await rig();
  return { ...made, train: await made.tq.partition('train', { fields }) };
}

/** Two nodes; ids 0 to 39 are on both. */
async function two(): Promise<{ fakes: [FakeServer, FakeServer]; train: Partition }> {
  const [first, second] = [await rig(), await rig()];
  const nodes = [first, second].map(({ fake }, index) => ({ id: `n${index}`, url: fake.url }));
  first.fake.nodes = second.fake.nodes = nodes;
  return { fakes: [first.fake, second.fake], train: await first.tq.partition('train', { fields }) };
}

const requestIds = (fake: FakeServer, route: string): Set<string> =>
  new Set(fake.seen.filter((seen) => seen.route === route).map(({ requestId }) => requestId));
const queries = (fake: FakeServer, route: string): string[] =>
  fake.seen.filter((seen) => seen.route === route).map(({ path }) => path.split('?')[1] ?? '');
const ids = Array.from({ length: 40 }, (_, id) => id);

describe('a lost answer', () => {
  it('is asked for again under the same request id', async () => {
    const { fake, train } = await one();
    fake.fail('tag', lost, says({ lsn: 5, rows: 1 }));
    expect(await train.tag([7], { a: 1 })).toBe(5);
    fake.fail('requeue', lost, says({ lsn: 6, rows: 3 }));
    expect(await train.requeue('t')).toBe(3);
    fake.fail('reset', lost, says({ lsn: 7, rows: 4 }));
    expect(await train.resetConsumption('t')).toBe(4);
    fake.fail('advance', lost, says({ lsn: 8, version: 3 }));
    expect(await train.advance(3)).toBe(8);
    for (const route of ['tag', 'requeue', 'reset', 'advance']) {
      expect([fake.count(route as 'tag'), requestIds(fake, route).size]).toEqual([2, 1]);
    }
  });

  it('of a watch is asked for again from where it stood', async () => {
    const { fake, train } = await one();
    const change = { lsn: 9, change: 'seal', rows: 0 };
    fake.fail('watch', says({ lsn: 3, changes: [], missed: false }), lost);
    fake.fail('watch', says({ lsn: 9, changes: [change], missed: true }));
    const changes = train.watch({ waitMs: 60_000 });
    expect((await changes.next()).value).toMatchObject({ lsn: 3, change: 'missed', ids: [] });
    expect((await changes.next()).value).toMatchObject(change);
    expect(queries(fake, 'watch').at(-1)).toBe('wait_ms=60000&after_lsn=3');
    fake.fail('watch', says({ lsn: 9, changes: [], missed: false }));
    expect(fake.count('watch')).toBe(3);
  });
});

describe('an answer that is not understood', () => {
  it('is an error of its own', async () => {
    const { fake, train } = await one();
    const code = async (
      route: 'tag' | 'list' | 'leases' | 'watch' | 'deadLetters',
      json: object,
      call: () => Promise<unknown>,
    ) => {
      fake.fail(route, says(json));
      return (await rejection(call())).code;
    };
    expect(await code('tag', {}, () => train.tag([1], {}))).toBe('answer_invalid');
    expect(await code('list', { ids: 7 }, () => train.list())).toBe('answer_invalid');
    expect(await code('leases', {}, () => train.leases())).toBe('answer_invalid');
    expect(await code('watch', { lsn: 1, changes: [{}] }, () => train.watch().next())).toBe('answer_invalid');
    expect(await code('deadLetters', { rows: [{}] }, () => train.deadLetters('t'))).toBe('answer_invalid');
  });
});

describe('a put that is over the budget', () => {
  it('is not tried again without a wait', async () => {
    const { fake, runtime, train } = await one();
    fake.fail('put', full);
    expect(await rejection(train.put({ x: [1] }, { ids: [1] }))).toMatchObject({ code: 'over_budget' });
    expect([fake.count('put'), queries(fake, 'put'), runtime.pausesMs]).toEqual([1, [''], []]);
  });

  it('is sent anew for as long as the wait goes on, and the parts share the wait', async () => {
    const { fake, runtime, train } = await one();
    fake.limits.put_rows_max = 1;
    fake.fail('put', full, full);
    await train.put({ x: [1, 2] }, { ids: [1, 2], waitMs: 250 });
    expect(queries(fake, 'put')).toEqual(['wait_ms=250', 'wait_ms=150', 'wait_ms=50', 'wait_ms=50']);
    fake.fail('put', full, full, full, full);
    expect(await rejection(train.put({ x: [1] }, { ids: [1], waitMs: 250 }))).toMatchObject({ code: 'over_budget' });
    expect(runtime.pausesMs).toEqual([100, 100, 100, 100, 50]);
  });

  it('waits as long for its blobs', async () => {
    const { fake, tq } = await one();
    const photos = await tq.partition('photos', { fields: { image: blob() } });
    const image = Uint8Array.of(1);
    const digest = createHash('sha256').update(image).digest('hex');
    fake.fail('missingBlobs', says({ missing: [digest] }));
    fake.fail('putBlob', full, full, says({ digest }));
    await photos.put({ image: [image] }, { ids: [1], waitMs: 250 });
    expect(queries(fake, 'putBlob')).toEqual(['wait_ms=250', 'wait_ms=150', 'wait_ms=50']);
    expect(queries(fake, 'put')).toEqual(['wait_ms=50']);
  });
});

describe('several nodes', () => {
  it('get their share of tags, and list theirs', async () => {
    const { fakes, train } = await two();
    fakes.forEach((fake, index) => fake.fail('tag', says({ lsn: 5 + index, rows: 1 })));
    expect(await train.tag(ids, { a: 1 })).toBe(6);
    fakes[0].fail('list', says({ ids: [1], tags: [{}], numbers: { n: [null] }, next: 4 }));
    fakes[0].fail('list', says({ ids: [3], tags: [{ a: 1 }], numbers: { n: [3] }, next: null }));
    fakes[1].fail('list', says({ ids: [2], tags: [{}], numbers: { n: [2] }, next: null }));
    const { ids: found, tags, numbers } = await train.list();
    expect([found, tags, numbers.n]).toEqual([[1, 3, 2], [{}, { a: 1 }, {}], Float64Array.of(NaN, 3, 2)]);
  });

  it('answer for a task one after the other', async () => {
    const { fakes, train } = await two();
    fakes[0].fail('deadLetters', says({ rows: [{ id: 1, attempts: 2 }], next: 3 }));
    fakes[0].fail('deadLetters', says({ rows: [{ id: 4, attempts: 2 }], next: null }));
    fakes[1].fail('deadLetters', says({ rows: [{ id: 2, attempts: 1 }], next: 9 }));
    expect([...(await train.deadLetters('t', { rowsMax: 3 })).keys()]).toEqual([1, 4, 2]);
    expect(queries(fakes[0], 'deadLetters')).toEqual(['rows_max=3', 'rows_max=2&after=3']);
    for (const fake of fakes) fake.fail('requeue', says({ lsn: 1, rows: 2 }));
    expect(await train.requeue('t', { ids })).toBe(4);
  });

  it('have LSNs of their own, which a watch keeps apart', async () => {
    const { fakes, train } = await two();
    expect(await rejection(train.watch({ afterLsn: 3 }).next())).toMatchObject({ code: 'input_invalid' });
    fakes[0].fail('watch', says({ lsn: 3, changes: [] }), says({ lsn: 3, changes: [] }));
    fakes[1].fail('watch', says({ lsn: 80, changes: [] }));
    fakes[1].fail('watch', says({ lsn: 81, changes: [{ lsn: 81, change: 'seal' }] }));
    const { value } = await train.watch().next();
    expect(value).toMatchObject({ lsn: 81, change: 'seal' });
    expect(queries(fakes[1], 'watch').at(-1)).toBe('wait_ms=250&after_lsn=80');
  });

  it('hold all ids of one claim, or it is refused', async () => {
    const { fakes, train } = await two();
    await train.put({ x: ids }, { ids });
    const words = { task: 't', fields: ['x'] };
    expect(await rejection(train.claim({ ...words, ids }))).toMatchObject({ code: 'input_invalid' });
    const own = [...fakes[1].partitions.get('train')!.rows.keys()];
    await train.claim({ ...words, ids: own.slice(0, 2) });
    expect(fakes.map((fake) => fake.count('claim'))).toEqual([0, 1]);
  });

  it('take turns with the numbers of a shared batch', async () => {
    const { fakes, train } = await two();
    const claim = (number: number): Promise<unknown> =>
      train.claim({ task: 't', fields: ['x'], batchSize: 2, batch: { name: 'ppo', number }, waitMs: 5 });
    expect(await claim(0)).toMatchObject({ outcome: 'timed_out' });
    expect(fakes.map((fake) => fake.count('claim'))).toEqual([1, 0]);
    expect(await claim(7)).toMatchObject({ outcome: 'timed_out' });
    expect(fakes.map((fake) => fake.count('claim'))).toEqual([1, 1]);
    await train.seal();
    const batch = { name: 'ppo', number: 8 };
    const seen = [];
    for await (const one of train.consume({ task: 't', fields: ['x'], batchSize: 2, batch })) seen.push(one);
    expect([seen, fakes.map((fake) => fake.count('claim'))]).toEqual([[], [2, 2]]);
  });

  it('end a consumer of shared batches when each of them is drained, one right after the other', async () => {
    const { fakes, train } = await two();
    await train.put({ x: ids }, { ids });
    fakes[0].fail('claim', ends('drained'), ends('drained'), ends('drained'));
    fakes[1].fail('claim', ends('timed_out'));
    const consumer = train.consume({ task: 't', fields: ['x'], batchSize: 2, batch: { name: 'ppo' } });
    const { value: batch } = await consumer.next();
    expect(batch).toMatchObject({ url: fakes[1].url, batchNumber: 3 });
    await batch!.ack();
    fakes[1].fail('claim', ends('drained'));
    expect(await consumer.next()).toEqual({ done: true, value: undefined });
  });
});

describe('keys', () => {
  const missing = (...rows: number[]): Fault => {
    const details = { missing: rows, missing_count: rows.length };
    return { kind: 'answer', status: 404, body: JSON.stringify({ code: 'rows_missing', details }) };
  };

  it('whose rows are missing are named', async () => {
    const { fake, train } = await one();
    fake.fail('read', missing(keyId('b')));
    const details = { missing: ['b'], missing_count: 1 };
    expect(await rejection(train.kvBatchGet(['a', 'b']))).toMatchObject({ code: 'keys_missing', details });
  });

  it('that go while they are read are left out, as long as the server says which', async () => {
    const { fake, train } = await one();
    const tags = [{ tq_key: 'a' }, { tq_key: 'b' }];
    fake.fail('list', says({ ids: ['a', 'b'].map(keyId), tags, numbers: {}, next: null }));
    fake.fail('read', missing(keyId('b')), missing(7));
    const reading = train.kvBatchGet(['a', 'b', 'c'], { missing: 'drop' });
    expect(await rejection(reading)).toMatchObject({ code: 'rows_missing' });
    expect(fake.count('read')).toBe(2);
  });
});

describe('a wait', () => {
  it('of a consumer ends when it is returned, also with a shared batch', async () => {
    const { fake, train } = await one();
    const consumer = train.consume({ task: 't', fields: ['x'], batchSize: 2, batch: { name: 'ppo' } });
    const waiting = consumer.next();
    await until(() => fake.count('claim') === 1);
    await consumer.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });
});
