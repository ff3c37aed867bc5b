/** `tq top`: shares, lag and rates out of samples, frames that fit the screen, and how it goes on and ends. */
import { describe, expect, test } from 'vitest';
import type { PartitionAnswer, TaskAnswer } from '../../../server/client/answers.ts';
import { asking } from '../../../server/client/console.ts';
import { barOf, drawTop } from '../../../server/client/draw_top.ts';
import { top, type Live, type TopAsked } from '../../../server/client/live.ts';
import { gaugesOf, topOf, type Sample } from '../../../server/client/top.ts';
import { AskError } from '../../../server/env/ask.ts';
import { SimClock } from '../../support/sim_env.ts';
import { fakeConsole, fakeTerminal, Refused, type Answers } from './fake.ts';

const task = (more: Partial<TaskAnswer> = {}): TaskAnswer => {
  return { ready: 0, leased: 0, consumed: 0, incomplete: 0, dead: 0, skipped: 0, claims: 0, ...more };
};

const partition = (name: string, more: Partial<PartitionAnswer> = {}): PartitionAnswer => ({
  ...{ name, ack: 'os', sealed: false, rows: 0, rows_max: null, bytes: 0, bytes_max: null, rows_admitted: 0 },
  ...{ version: 0, evicted: 0, waiters: 0, waiting_puts: 0, lsn: 1, field_rows: {}, tasks: {} },
  ...more,
});

const metrics = [
  '# HELP tq_waiters Claims and reads that wait.',
  '# TYPE tq_waiters gauge',
  'tq_waiters 4',
  'tq_arena_bytes 1.073741824e+09',
  'tq_arena_held_bytes 268435456',
  'tq_partition_rows{partition="train"} 12',
  '',
].join('\n');

function sample(atMs: number, ...partitions: PartitionAnswer[]): Sample {
  return { atMs, partitions, gauges: gaugesOf(metrics) };
}

describe('of two samples', () => {
  const before = partition('train', {
    ...{ rows: 100, rows_admitted: 1_000, bytes: 5_000 },
    tasks: { trainer: task({ ready: 40, leased: 10, incomplete: 20, claims: 2 }) },
  });
  const now = partition('train', {
    ...{ rows: 80, rows_admitted: 1_040, bytes: 4_000 },
    field_rows: { prompt: 80, reward: 40 },
    tasks: { trainer: task({ ready: 20, leased: 4, incomplete: 6, dead: 10, consumed: 40, claims: 1 }) },
  });

  test('lag, shares and rates are counted from all rows that ever came', () => {
    const [{ rows_per_s: rate, fields, tasks }] = topOf(sample(3_000, now), sample(1_000, before)).partitions;
    expect(rate).toBe(20);
    expect(fields).toEqual([
      { field: 'prompt', rows: 80, share: 1 },
      { field: 'reward', rows: 40, share: 0.5 },
    ]);
    // Done before: 1,000 - 70; done now: 1,040 - 30 - 10.
    expect(tasks).toEqual([
      {
        ...{ task: 'trainer', ready: 20, leased: 4, consumed: 40, incomplete: 6, dead: 10, skipped: 0, claims: 1 },
        ...{ lag: 30, done_share: 0.5, leased_share: 0.05, rows_per_s: 35 },
      },
    ]);
  });

  test('of one there are no rates, and of a partition that is new neither', () => {
    expect(topOf(sample(1_000, now), null).partitions[0]).toMatchObject({
      rows_per_s: null,
      tasks: [{ rows_per_s: null }],
    });
    const fresh = topOf(sample(3_000, now), sample(1_000, partition('train', { rows_admitted: 9_999 })));
    expect(fresh.partitions[0]).toMatchObject({ rows_per_s: null, tasks: [{ rows_per_s: null }] });
  });

  test('a task that was reset consumes nothing, not less', () => {
    const reset = { ...now, tasks: { trainer: task({ ready: 80 }) } };
    expect(topOf(sample(2_000, reset), sample(1_000, now)).partitions[0].tasks[0].rows_per_s).toBe(0);
  });

  test('gauges are those without labels; what a server does not tell is null', () => {
    const all = topOf(sample(1_000, now), null);
    expect(all).toMatchObject({ waiters: 4, arena_bytes: 2 ** 30, arena_held_bytes: 2 ** 28, connections: null });
  });

  test('partitions with something left to do come first, and only those wanted', () => {
    const partitions = [
      partition('c', { sealed: true, tasks: { t: task() } }),
      partition('b', { sealed: true, tasks: { t: task({ ready: 1 }) } }),
      partition('d'),
      partition('a', { sealed: true }),
    ];
    const names = (wanted?: string[]) =>
      topOf(sample(1, ...partitions), null, wanted).partitions.map((one) => one.partition);
    expect(names()).toEqual(['b', 'd', 'a', 'c']);
    expect(names(['c', 'd'])).toEqual(['d', 'c']);
  });
});

describe('a frame', () => {
  test.each([
    [0, 0, '░░░░░░░░░░░░░░░░░░░░'],
    [0.5, 0.01, '██████████▒░░░░░░░░░'],
    [0.999, 0.001, '███████████████████▒'],
    [0.999, 0, '███████████████████░'],
    [1, 0, '████████████████████'],
    [0.5, 0.5, '██████████▒▒▒▒▒▒▒▒▒▒'],
  ])('has bars: %d done, %d leased: %s', (done, leased, bar) => {
    expect(barOf(done, leased)).toBe(bar);
  });

  const shown = topOf(
    sample(
      1_000,
      partition('train', {
        ...{ rows: 4_096, rows_max: 10_000, rows_admitted: 4_096, bytes: 64 << 20, bytes_max: 1 << 30 },
        ...{ version: 12, evicted: 3, waiters: 2, waiting_puts: 1, field_rows: { prompt: 4_096, reward: 1_024 } },
        tasks: { trainer: task({ ready: 1_024, leased: 64, consumed: 2_048, incomplete: 960, claims: 2 }) },
      }),
      partition('val', { sealed: true }),
    ),
    sample(0, partition('train', { rows_admitted: 4_000 })),
  );

  test('shows all of a partition', () => {
    const lines = drawTop(shown, { head: 'head', columns: 120, rows: 40 });
    expect(lines.join('\n')).toBe(
      [
        'head',
        '2 partitions   4,096 rows   64.0 MiB   4 waiters   arena 25 % held',
        '',
        'train   4,096 of 10,000 rows   64.0 MiB of 1.00 GiB   +96 rows/s   version 12   2 waiters   ' +
          '1 put waiting for room   3 e',
        '  task     consumed                 %    lag  ready  leased  claims  incomplete  dead  skipped  rows/s',
        '  ────────────────────────────────────────────────────────────────────────────────────────────────────',
        '  trainer  ██████████▒░░░░░░░░░  50 %  2,048  1,024      64       2         960     0        0',
        '  field   produced                  %   rows',
        '  ──────────────────────────────────────────',
        '  prompt  ████████████████████  100 %  4,096',
        '  reward  █████░░░░░░░░░░░░░░░   25 %  1,024',
        '',
        'val   0 rows   0 B   sealed',
      ].join('\n'),
    );
  });

  test('shows the fields that most rows lack, of many', () => {
    const fields = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`f${i}`, 100 - i]));
    const many = topOf(sample(0, partition('train', { rows: 100, field_rows: fields })), null);
    const lines = drawTop(many, { head: 'head', columns: 120, rows: 40 });
    expect(lines.slice(6).map((line) => line.trim().split(/ +/)[0])).toEqual([
      ...Array.from({ length: 12 }, (_, i) => `f${14 - i}`),
      '...',
    ]);
  });

  test.each([
    [20, 5],
    [60, 8],
    [80, 3],
    [200, 100],
  ])('fits %d columns and %d rows', (columns, rows) => {
    const lines = drawTop(shown, { head: 'x'.repeat(300), columns, rows });
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    if (rows < 10) expect(lines.at(-1)).toMatch(/^\.\.\. \d+ more/);
  });
});

describe('over time', () => {
  const LIST = 'GET /v1/partitions';
  const answers = {
    [LIST]: [0, 1, 2].map((i) => ({ partitions: [partition('train', { rows: i, rows_admitted: 10 * i })] })),
    'GET /metrics': metrics,
  };

  async function run(given: Answers, asked: Partial<TopAsked> & { json?: boolean; pauses: number }) {
    const { json = false, pauses, ...more } = asked;
    const console = fakeConsole(given, { json });
    const terminal = fakeTerminal(pauses);
    const clock = Object.assign(new SimClock(), { nowMs: () => terminal.nowMs });
    const live: Live = { ...console, terminal, clock };
    const code = await asking(live, () => top(live, { partitions: [], intervalMs: 500, once: false, ...more }));
    expect(terminal.closed).toBe(true);
    return { code, terminal, ...console.text };
  }

  test('a screen is drawn each interval until the user has seen enough', async () => {
    const { code, terminal, out } = await run(answers, { pauses: 3 });
    expect([code, out]).toEqual([0, '']);
    expect(terminal.frames.map((lines) => lines[3])).toEqual([
      'train   0 rows   0 B',
      'train   1 row   0 B   +20 rows/s',
      'train   2 rows   0 B   +20 rows/s',
    ]);
  });

  test('a server that does not answer leaves what was seen, and is asked again', async () => {
    const list = answers[LIST];
    const given = { ...answers, [LIST]: [list[0], new AskError('ECONNREFUSED', null), list[1]] };
    const { terminal } = await run(given, { pauses: 3 });
    expect(terminal.frames.map(([head, , , line]) => [head, line])).toEqual([
      ['tq top   http://fake:1   every 0.5 s, q ends', 'train   0 rows   0 B'],
      ['tq top   cannot ask http://fake:1: ECONNREFUSED', 'train   0 rows   0 B'],
      // Over both intervals.
      ['tq top   http://fake:1   every 0.5 s, q ends', 'train   1 row   0 B   +10 rows/s'],
    ]);
  });

  test('a server that never answered is told about', async () => {
    const { terminal, code } = await run({}, { pauses: 1 });
    expect([code, terminal.frames]).toEqual([0, [['tq top   cannot ask http://fake:1: ECONNREFUSED']]]);
  });

  test('once is one frame of two samples, as text or as JSON', async () => {
    const { out } = await run(answers, { pauses: 9, once: true });
    expect(out).toMatch(/^http:\/\/fake:1\n1 partition .*\n\ntrain +1 row +0 B +\+20 rows\/s\n$/);
    const { out: json } = await run(answers, { pauses: 9, once: true, json: true });
    expect(JSON.parse(json)).toMatchObject({ rows: 1, partitions: [{ partition: 'train', rows_per_s: 20 }] });
  });

  test('as JSON it is an object a line, and ends when the server does not answer', async () => {
    const { out, code } = await run(answers, { pauses: 3, json: true });
    const rates = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).partitions[0].rows_per_s);
    expect([code, rates]).toEqual([0, [null, 20, 20]]);
    const refused = new Refused(503, { code: 'shutting_down', message: 'The server is stopping.' });
    const ended = await run({ ...answers, [LIST]: [answers[LIST][0], refused] }, { pauses: 9, json: true });
    expect([ended.code, ended.err]).toEqual([1, 'tq: shutting_down: The server is stopping.\n']);
  });
});
