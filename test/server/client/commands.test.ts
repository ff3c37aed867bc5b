/** `tq rows`, `leases`, `dead-letters` and `why-held`: what they ask, and what they print of the answer. */
import { describe, expect, test } from 'vitest';
import { asking } from '../../../server/client/console.ts';
import { deadLetters, requeue } from '../../../server/client/dead_letters.ts';
import { leases } from '../../../server/client/leases.ts';
import { rows } from '../../../server/client/rows.ts';
import { whyHeld } from '../../../server/client/why_held.ts';
import { fakeConsole, Refused } from './fake.ts';

const LIST = 'POST /v1/partitions/train/rows:list';

describe('rows', () => {
  const page = {
    ids: [3, 5],
    tags: [{ status: 'finished', model: { name: 'a' } }, {}],
    numbers: { reward: [0.5, null], length: [7, 12] },
    next: null,
  };

  test('are a table of numbers and tags', async () => {
    const console = fakeConsole({ [LIST]: page });
    await rows(console, { partition: 'train', ids: [], limit: 100 });
    expect(console.text.out).toBe(
      [
        'row  reward  length  tags',
        '──────────────────────────────────────────────────────────',
        '  3     0.5       7  status "finished", model {"name":"a"}',
        '  5              12',
        '',
        '2 rows',
        '',
      ].join('\n'),
    );
    expect(console.asked).toEqual([
      { method: 'POST', path: '/v1/partitions/train/rows:list', headers: expect.anything(), body: { rows_max: 100 } },
    ]);
  });

  test('are asked for by ids, by filter and as ready for a task', async () => {
    const console = fakeConsole({ [LIST]: { ...page, attempts: [1, 2] } });
    const ready = { task: 'trainer', fields: ['prompt', 'reward'] };
    await rows(console, { partition: 'train', ids: [3, 5], where: 'reward > 0.4', ready, limit: 2 });
    expect(console.asked[0].body).toEqual({ ids: [3, 5], where: 'reward > 0.4', ready, rows_max: 2 });
    expect(console.text.out).toMatch(/row +reward +length +attempts +tags\n/);
  });

  test('come page by page up to the limit, and it says when there are more', async () => {
    const ids = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
    const pageOf = (from: number, count: number) => {
      return { ids: ids(from, count), tags: ids(from, count).map(() => ({})), numbers: {}, next: from + count };
    };
    const console = fakeConsole({ [LIST]: [pageOf(0, 10_000), pageOf(10_000, 500)] }, { json: true });
    await rows(console, { partition: 'train', ids: [], limit: 10_500 });
    expect(console.asked.map(({ body }) => body)).toEqual([{ rows_max: 10_000 }, { after: 10_000, rows_max: 500 }]);
    const lines = console.text.out.trimEnd().split('\n');
    expect(lines).toHaveLength(10_500);
    expect(JSON.parse(lines[10_499])).toEqual({ id: 10_499, tags: {}, numbers: {} });
    const table = fakeConsole({ [LIST]: pageOf(0, 2) });
    await rows(table, { partition: 'train', ids: [], limit: 2 });
    expect(table.text.out).toMatch(/\n2 rows, and there are more: see --limit\n$/);
  });

  test('that are none are said to be none', async () => {
    const console = fakeConsole({ [LIST]: { ids: [], tags: [], numbers: { reward: [] }, next: null } });
    await rows(console, { partition: 'train', ids: [], limit: 100 });
    expect(console.text.out).toBe('0 rows\n');
  });

  test.each([false, true])('cannot steer the terminal with their tags; as JSON: %s', async (json) => {
    const tags = { note: '\u001b[2J\u009b2J\u202e', ['\u0007key']: 1 };
    const answer = { ids: [1], tags: [tags], numbers: {}, next: null };
    const console = fakeConsole({ [LIST]: answer }, { json });
    await rows(console, { partition: 'train', ids: [], limit: 1 });
    // eslint-disable-next-line no-control-regex
    expect(console.text.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    if (json) expect(JSON.parse(console.text.out)).toMatchObject({ id: 1, tags });
  });
});

describe('leases', () => {
  const lease = {
    ...{ claim: 2 ** 32 + 7, task: 'trainer', rows: 20, ids: [1, 2, 3, 9], attempts_max: 2 },
    ...{ lease_ms: 30_000, left_ms: 12_345, fields: ['prompt', 'reward'] },
  };

  test('are a table, the first to end first as the server lists them', async () => {
    const console = fakeConsole({ 'GET /v1/partitions/train/leases': { leases: [lease] } });
    await leases(console, { partition: 'train' });
    expect(console.text.out).toMatch(/1\.7 +trainer +20 +2 +12\.3 s +30\.0 s +prompt, reward +1-3, 9, \.\.\.\n/);
    expect(console.text.out).toMatch(/\n1 leased claim\n$/);
  });

  test('as JSON are the answer itself', async () => {
    const console = fakeConsole({ 'GET /v1/partitions/train/leases': { leases: [lease] } }, { json: true });
    await leases(console, { partition: 'train' });
    expect(JSON.parse(console.text.out)).toEqual({ leases: [lease] });
  });
});

describe('dead letters', () => {
  const tasks = { trainer: { dead: 3 }, critic: { dead: 0 }, reward: { dead: 1 } };
  const base = '/v1/partitions/train/tasks';
  const answers = {
    'GET /v1/partitions/train': { tasks },
    [`GET ${base}/trainer/dead-letters?rows_max=100`]: {
      rows: [
        { id: 1, attempts: 3 },
        { id: 2, attempts: 4 },
      ],
      next: 77,
    },
    [`GET ${base}/trainer/dead-letters?rows_max=98&after=77`]: { rows: [{ id: 9, attempts: 3 }], next: null },
    [`GET ${base}/reward/dead-letters?rows_max=100`]: { rows: [{ id: 4, attempts: 1 }], next: null },
    [`GET ${base}/trainer/dead-letters?rows_max=2`]: {
      rows: [
        { id: 1, attempts: 3 },
        { id: 2, attempts: 4 },
      ],
      next: 77,
    },
    [`POST ${base}/trainer:requeue`]: { lsn: 80, rows: 3 },
    [`POST ${base}/reward:requeue`]: { lsn: 81, rows: 1 },
  };

  test('of all tasks that have any', async () => {
    const console = fakeConsole(answers, { json: true });
    await deadLetters(console, { partition: 'train', limit: 100 });
    const lines = console.text.out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { task: 'trainer', id: 1, attempts: 3 },
      { task: 'trainer', id: 2, attempts: 4 },
      { task: 'trainer', id: 9, attempts: 3 },
      { task: 'reward', id: 4, attempts: 1 },
    ]);
  });

  test('of one task, and it says when there are more', async () => {
    const console = fakeConsole(answers);
    await deadLetters(console, { partition: 'train', task: 'reward', limit: 100 });
    expect(console.text.out).toMatch(/reward +4 +1\n\n1 dead letter\n$/);
    const short = fakeConsole(answers);
    await deadLetters(short, { partition: 'train', task: 'trainer', limit: 2 });
    expect(short.text.out).toMatch(/\n2 dead letters, and there are more: see --limit\n$/);
    expect(short.asked.map(({ path }) => path)).toEqual([`${base}/trainer/dead-letters?rows_max=2`]);
  });

  test('are tried anew on request', async () => {
    const console = fakeConsole(answers);
    await requeue(console, { partition: 'train', limit: 100 });
    expect(console.text.out).toBe('task trainer tries 3 dead letters anew\ntask reward tries 1 dead letter anew\n');
  });
});

describe('why-held', () => {
  const answer = {
    ...{ id: 7, there: true, because: 'Task critic has not consumed it.', release: 'never', retention: null },
    fields: { prompt: { lsn: 3, bytes: 1_000, rows_live: 1 }, reward: { lsn: 4, bytes: 8, rows_live: 1 } },
    tasks: [
      { task: 'trainer', declared: true, state: 'consumed' },
      { task: 'critic', declared: false, state: 'leased', claim: 2 ** 32 + 7, left_ms: 300 },
    ],
    claims: [],
    snapshots: [12, 13],
  };

  test('is a sentence, and a table of each list', async () => {
    const console = fakeConsole({ 'GET /v1/partitions/train/rows/7:held': answer });
    await whyHeld(console, { partition: 'train', id: 7 });
    expect(console.text.out.replace(/─+/g, '──')).toBe(
      [
        'Task critic has not consumed it.',
        '',
        'field   lsn  bytes  rows_live',
        '──',
        'prompt    3  1,000          1',
        'reward    4      8          1',
        '',
        'task     declared  state     claim  left_ms',
        '──',
        'trainer  yes       consumed',
        'critic   no        leased    1.7    300',
        '',
        'snapshot',
        '──',
        '      12',
        '      13',
        '',
      ].join('\n'),
    );
  });

  test('as JSON is the answer itself', async () => {
    const console = fakeConsole({ 'GET /v1/partitions/train/rows/7:held': answer }, { json: true });
    await whyHeld(console, { partition: 'train', id: 7 });
    expect(JSON.parse(console.text.out)).toEqual(answer);
  });
});

describe('what goes wrong', () => {
  const path = 'GET /v1/partitions/a%2Fb/leases';
  const run = async (console: ReturnType<typeof fakeConsole>) => {
    const code = await asking(console, () => leases(console, { partition: 'a/b' }));
    return [code, console.text.out, console.text.err];
  };

  test('in the request is told in the words of the server, its details too', async () => {
    const details = { partition: 'a/b\u001b' };
    const refused = new Refused(404, { code: 'partition_unknown', message: 'There is none.', details });
    const console = fakeConsole({ [path]: refused }, { token: 'secret' });
    expect(await run(console)).toEqual([1, '', 'tq: partition_unknown: There is none. {"partition":"a/b\\u001b"}\n']);
    expect(console.asked[0].headers).toEqual({ authorization: 'Bearer secret' });
  });

  test('on the way is told with the place that was asked', async () => {
    expect(await run(fakeConsole({}))).toEqual([1, '', 'tq: cannot ask http://fake:1: ECONNREFUSED\n']);
  });

  test.each([
    ['no JSON', new Refused(502, '<html>bad gateway</html>'), 502],
    ['other JSON', new Refused(404, { error: 'not found' }), 404],
    ['no JSON though all is well', 'hello', 200],
  ])('with an answer of something else: %s', async (_, answer, status) => {
    const wanted = `tq: status ${status}: the answer is not one of a Transfer-Queue server\n`;
    expect(await run(fakeConsole({ [path]: answer }))).toEqual([1, '', wanted]);
  });

  test('in the command itself is a bug, and thrown on', async () => {
    const console = fakeConsole({ [path]: { leases: 'none' } });
    await expect(run(console)).rejects.toThrow(TypeError);
  });
});
