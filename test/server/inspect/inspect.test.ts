/** What `tq inspect` shows: events by filter, a row's history, partitions, segments; as tables and as JSON. */
import { beforeAll, describe, expect, test } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import { deleteRows, drop } from '../../../server/engine/partitions.ts';
import { filesOf } from '../../../server/inspect/directory.ts';
import { listEvents, type JournalFilter, type JournalListing } from '../../../server/inspect/journal_list.ts';
import { Names } from '../../../server/inspect/names.ts';
import { overviewOf } from '../../../server/inspect/overview.ts';
import { printEvents, printEventsAsJson } from '../../../server/inspect/print_journal.ts';
import { printOverview, printRowEvents, printRowNow, printSegments } from '../../../server/inspect/print_state.ts';
import { rowEvents, type RowEvent } from '../../../server/inspect/row_history.ts';
import { rowNow, type RowNow } from '../../../server/inspect/row_now.ts';
import { listSegments } from '../../../server/inspect/segment_list.ts';
import { startOn } from '../../../server/inspect/start.ts';
import type { JournalEvent } from '../../../server/journal/events.ts';
import { journalBegin } from '../../../server/journal/scan.ts';
import { claimOf, core, declareTest, putText } from '../../support/node.ts';
import { simEnv, SimFs } from '../../support/sim_env.ts';
import { startJournal } from '../journal/files.ts';
import { DIR, flipped, imageOf, openOn, pathsIn, withBytes } from './made.ts';

const source = (fs: SimFs) => ({ env: simEnv(fs), core, directory: `${DIR}/journal` });

class Text {
  text = '';
  readonly columns = 100;

  write(text: string): void {
    this.text += text;
  }
}

/** Row 7: put with tags, tagged, skipped, claimed as part of a batch, dead, tried anew; then its task begins anew. */
async function queueStory(): Promise<SimFs> {
  const { node, env, close } = await openOn(SimFs.withReserve(DIR));
  const tasks = [{ name: 'trainer', maxAttempts: 1 }];
  await declareTest(node, 'q', { queue: { tasks, numbers: ['length'] } });
  const id = node.partition('q').id;
  await putText(node, 'q', [7, 8], 'a', ['seven', 'eight']);
  const commit = (event: JournalEvent): Promise<unknown> => node.commit(event, 'os').commit;
  const rows = { partition: id, ids: Float64Array.of(7) };
  await commit({ type: 'tag', ...rows, tags: ['{"firstTry":true,"length":12}'], requestId: '' });
  await commit({ type: 'tag', ...rows, ids: Float64Array.of(8), tags: ['{"other":true}'], requestId: '' });
  const claim = await claimOf(node, 'q', { fields: ['a'], rowsMax: 1, task: 'trainer' });
  if (claim.kind !== 'claimed') throw new Error('there is nothing to claim');
  claim.located.close();
  await endClaim(node, claim.token, 'release', '');
  await commit({ type: 'requeue', ...rows, task: 'trainer' });
  await commit({ type: 'reset', partition: id, requestId: '', task: 'trainer' });
  await commit({ type: 'skip', ...rows, task: 'trainer', fields: [0] });
  await commit({ type: 'advance', partition: id, version: 3 });
  await commit({ type: 'delete', ...rows, ids: Float64Array.of(8), requestId: '', reason: 'evicted' });
  await close();
  return env.fs.afterCrash();
}

/** Row 1 of partition p: put, put again, claimed, given back, claimed, acked, deleted, put once more. */
async function story(): Promise<SimFs> {
  const { node, env, close } = await openOn(SimFs.withReserve(DIR));
  await declareTest(node, 'p');
  await declareTest(node, 'other');
  await putText(node, 'p', [1, 2], 'a', ['one', 'two'], { requestId: 'put-1' });
  await putText(node, 'other', [1], 'z', ['of another']);
  await putText(node, 'p', [3, 1], 'a', ['three', 'one again']);
  for (const how of ['release', 'ack'] as const) {
    const claim = await claimOf(node, 'p', { fields: ['a'], rowsMax: 1, task: 'trainer' });
    if (claim.kind !== 'claimed') throw new Error('there is nothing to claim');
    claim.located.close();
    await endClaim(node, claim.token, how, `end-${how}`);
  }
  await deleteRows(node, 'p', { ids: Float64Array.of(1), requestId: 'delete-1' });
  await putText(node, 'p', [1], 'b', ['new']);
  await declareTest(node, 'dropped');
  await putText(node, 'dropped', [1], 'a', ['x']);
  await drop(node, 'dropped');
  await close();
  return env.fs.afterCrash();
}

let fs: SimFs;
beforeAll(async () => {
  fs = await story();
});

async function list(filter: JournalFilter): Promise<{ lsns: number[]; types: string[]; listing: JournalListing }> {
  const listing: JournalListing = {};
  const lsns: number[] = [];
  const types: string[] = [];
  for await (const { event, header } of listEvents(source(fs), { filter, names: new Names(), listing })) {
    lsns.push(header.lsn);
    types.push(event.type);
  }
  return { lsns, types, listing };
}

describe('the journal', () => {
  test('is listed whole, with the verdict on its end', async () => {
    const { lsns, types, listing } = await list({});
    expect(lsns).toEqual(lsns.map((_, i) => i + 1));
    expect(types[0]).toBe('descriptor');
    expect(types.filter((type) => type === 'insert')).toHaveLength(5);
    expect(listing.verdict).toEqual({ outcome: 'sound' });
  });

  test('is listed by LSN, type, partition and count, each and together', async () => {
    expect((await list({ from: 3, to: 5 })).lsns).toEqual([3, 4, 5]);
    expect((await list({ type: 'claim' })).types).toEqual(['claim', 'claim']);
    expect((await list({ partition: 'other', type: 'insert' })).lsns).toHaveLength(1);
    expect((await list({ partition: '#2', type: 'insert' })).lsns).toHaveLength(1);
    expect((await list({ partition: 'dropped' })).types).toEqual(['declare', 'declare', 'insert', 'drop']);
    expect((await list({ partition: 'unheard of' })).lsns).toEqual([]);
    expect((await list({ type: 'insert', limit: 2 })).types).toEqual(['insert', 'insert']);
    expect((await list({ limit: 0 })).lsns).toEqual([]);
  });

  test('is printed within the width, or as one object a line', async () => {
    const [table, json] = [new Text(), new Text()];
    const listing: JournalListing = {};
    const names = new Names();
    await printEvents(listEvents(source(fs), { filter: {}, names, listing }), { names, output: table, listing });
    expect(Math.max(...table.text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(table.text).toContain('1 row 1, fields b');
    await printEventsAsJson(listEvents(source(fs), { filter: {}, names, listing }), { names, output: json });
    const lines = json.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const { length } = (await list({})).lsns;
    expect(lines).toHaveLength(length);
    expect(lines.find(({ type }) => type === 'insert')).toMatchObject({
      partition: 'p',
      request_id: 'put-1',
      ack: 'os',
      batches: [{ ids: [1, 2], fields: ['a'] }],
    });
    // The key of the claim tokens is a secret.
    expect(lines[0]).not.toHaveProperty('token_key');
    expect(json.text).not.toContain('okenKey');
  });

  test('that is damaged is listed as far as it goes, and it says why it ends', async () => {
    const path = pathsIn(fs, 'journal').at(-1)!;
    const output = new Text();
    const listing: JournalListing = {};
    const names = new Names();
    const damaged = flipped(fs, path, fs.files.get(path)!.current.length >> 1);
    await printEvents(listEvents(source(damaged), { filter: {}, names, listing }), { names, output, listing });
    expect(output.text).toMatch(/a start would be refused\n$/);
    const { current } = fs.files.get(path)!;
    const torn = withBytes(fs, path, () => current.subarray(0, current.length - 3));
    await printEvents(listEvents(source(torn), { filter: {}, names, listing }), { names, output, listing });
    expect(output.text).toMatch(/a start would cut .* bytes of a torn write\n$/);
  });
});

describe('a row', () => {
  async function eventsOf(partition: string, id: number): Promise<{ events: RowEvent[]; names: Names }> {
    const names = new Names();
    const events: RowEvent[] = [];
    for await (const event of rowEvents(source(fs), { partition, id, names })) events.push(event);
    return { events, names };
  }

  async function nowOf(on: SimFs, name: string, id: number): Promise<RowNow | null> {
    const started = await startOn(simEnv(on), DIR);
    const now = await rowNow(started, started.node.parts.state.store.partition(name)!, id);
    await started.close();
    return now;
  }

  test('has a history of what the queue did with it', async () => {
    const on = await queueStory();
    const names = new Names();
    const told: string[] = [];
    for await (const { what } of rowEvents(source(on), { partition: 'q', id: 7, names })) told.push(what);
    expect(told).toEqual([
      expect.stringMatching(/^put of fields a, /),
      'tags {"firstTry":true,"length":12}',
      'claim 1.1 of task trainer: fields a, attempt 1, lease 10,000 ms',
      'claim 1.1 of task trainer is given back',
      'task trainer tries the dead letter anew',
      'task trainer begins anew with all rows',
      'task trainer passes the row for good',
    ]);
    const other: string[] = [];
    for await (const { what } of rowEvents(source(on), { partition: 'q', id: 8, names })) other.push(what);
    expect(other.slice(1)).toEqual([
      'tags {"other":true}',
      'task trainer begins anew with all rows',
      'the row is deleted: evicted',
    ]);
    const now = await nowOf(on, 'q', 7);
    expect(now).toMatchObject({ tags: '{"firstTry":true,"length":12}', tasks: [{ state: 'consumed' }] });
    const output = new Text();
    printRowNow(now!, output);
    expect(output.text).toContain('\ntags {"firstTry":true,"length":12}\n');
    const { partitions } = await overviewOf(simEnv(on), DIR, journalBegin);
    expect(partitions).toMatchObject([{ name: 'q', tasks: [{ task: 'trainer', skipped: 1, dead: 0 }] }]);
  });

  test('has a history of all that touched it, and of nothing else', async () => {
    const { events, names } = await eventsOf('p', 1);
    expect(events.map(({ event }) => event.type)).toEqual([
      'insert',
      'insert',
      'claim',
      'release',
      'claim',
      'ack',
      'delete',
      'insert',
    ]);
    expect(events.map(({ what }) => what)).toMatchObject([
      expect.stringMatching(/^put of fields a, as row 0 of 2 in batch 0, \d+ bytes at 1:\d+$/),
      expect.stringMatching(/^put of fields a, as row 1 of 2 in batch 0, /),
      expect.stringMatching(/^claim 1\.1 of task trainer: fields a, attempt 1, lease 10,000 ms$/),
      'claim 1.1 of task trainer is given back',
      expect.stringMatching(/^claim 1\.2 of task trainer: fields a, attempt 2, /),
      'claim 1.2 of task trainer is acked',
      'the row is deleted',
      expect.stringMatching(/^put of fields b, as row 0 of 1 in batch 0, /),
    ]);
    const output = new Text();
    printRowEvents(events, { names, output });
    expect(output.text).toMatch(/\n8 events\n$/);
  });

  test('of a dropped partition has one too', async () => {
    const { events } = await eventsOf('dropped', 1);
    expect(events.map(({ what }) => what).at(-1)).toBe('the partition is dropped');
  });

  test('has the moves and rewrites of its puts, and of no others', async () => {
    const { env, journal } = await startJournal();
    const place = { segment: 1, offset: 0, length: 640, blocks: new Uint8Array(8) };
    const columns = [{ field: 0, regions: [64, 8] }];
    const batch = { rows: 3, ids: Float64Array.of(1, 2, 3), columns };
    const insert = { type: 'insert', partition: 1, requestId: '', extent: place, ackClaim: 0 } as const;
    const moved = { type: 'move', partition: 1, segment: 2, offset: 64, fromSegment: 1, fromOffset: 0 } as const;
    const events: JournalEvent[] = [
      { type: 'declare', partition: 1, settings: { name: 'p', fields: [], open: true, groupSize: 1, ack: 'os' } },
      { ...insert, batches: [batch] },
      { ...insert, batches: [{ ...batch, ids: Float64Array.of(4, 5, 6) }] },
      { ...moved, extent: 3 },
      { ...moved, extent: 4 },
      {
        type: 'rewrite',
        partition: 1,
        fromExtent: 3,
        extent: { ...place, segment: 5 },
        batches: [{ batch: 3_072, ids: Float64Array.of(2), ordinals: Float64Array.of(1), columns }],
      },
      { ...moved, extent: 7, segment: 6 },
    ];
    for (const event of events) await journal.append(event, 'os').commit;
    await journal.close();
    const found = async (id: number): Promise<string[]> => {
      const whats: string[] = [];
      for await (const { what } of rowEvents(source(env.fs), { partition: 'p', id, names: new Names() }))
        whats.push(what);
      return whats;
    };
    expect(await found(1)).toEqual([expect.stringContaining('put of fields'), 'put 3 lies at 2:64 from now on']);
    expect((await found(2)).slice(2)).toEqual([
      expect.stringMatching(
        /^put 3 is written anew as 7 without dead rows: fields #0, as row 0 of 1 in batch 0, at 5:0$/,
      ),
      'put 7 lies at 6:64 from now on',
    ]);
    expect((await found(5)).slice(1)).toEqual(['put 4 lies at 2:64 from now on']);
  });

  test('shows where each field lies now, and that the bytes are sound', async () => {
    const now = await nowOf(fs, 'p', 1);
    expect(now).toMatchObject({ puts: [{ shows: ['b'], hides: [], ordinal: 0, level: 'os', bytes: 'sound' }] });
    expect(now!.tasks).toMatchObject([{ task: 'trainer', state: 'unclaimed' }]);
    const output = new Text();
    printRowNow(now!, output);
    expect(output.text).toContain('sound');
    expect(await nowOf(fs, 'p', 77)).toBeNull();
  });

  test('shows which of its bytes are damaged', async () => {
    const path = pathsIn(fs, 'segments').find((one) => fs.files.get(one)!.current.includes('new'))!;
    const now = await nowOf(flipped(fs, path, fs.files.get(path)!.current.lastIndexOf('new')), 'p', 1);
    expect(now!.puts[0].bytes).toMatch(/^0-\d+: its bytes fail their checksum$/);
  });
});

describe('the overview', () => {
  test('has partitions, tasks, files and how far the journal goes', async () => {
    const before = imageOf(fs);
    const overview = await overviewOf(simEnv(fs), DIR, journalBegin);
    expect(overview).toMatchObject({
      format: 1,
      epoch: 1,
      checkpointLsn: 0,
      partitions: [
        { name: 'p', rows: 3, fields: ['a', 'b'], tasks: [{ task: 'trainer', ready: 2, consumed: 0, leased: 0 }] },
        { name: 'other', rows: 1, fields: ['z'] },
      ],
      refusals: [],
    });
    expect(overview.lsn).toBe((await list({})).lsns.at(-1));
    const output = new Text();
    printOverview(overview, output);
    expect(output.text).toMatch(/partition +number +ack/);
    expect(imageOf(fs)).toEqual(before);
  });
});

test('segments are listed with what lives in them', async () => {
  const started = await startOn(simEnv(fs), DIR);
  const segments = listSegments(started, await filesOf(simEnv(fs), DIR));
  await started.close();
  expect(segments.map(({ segment }) => segment)).toEqual(segments.map(({ segment }) => segment).sort());
  expect(segments.flatMap(({ partitions }) => partitions).sort()).toEqual(['other', 'p']);
  const extents = segments.reduce((sum, one) => sum + one.extents, 0);
  expect(extents).toBe(4);
  const output = new Text();
  printSegments(segments, output);
  expect(output.text).toMatch(/live \(\d+ %\)\n$/);
});
