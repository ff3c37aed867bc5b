/** The checker finds what is planted into histories, and finds nothing in one that is right. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { check } from './checker.ts';
import { joinLines, parseLines, type Invoke, type Line, type Return } from './history.ts';

const LEASE_MS = 10;
const TASK = 'train';

/** Writes a history line by line; each call takes a millisecond, and time passes when it is told to. */
class Script {
  readonly lines: Line[] = [];
  #at = 1_000_000;
  #call = 0;

  constructor(attemptsMax?: number) {
    const tasks = { [TASK]: { fields: ['x'], attemptsMax } };
    this.does({ does: 'declare', tasks }, { outcome: 'ok' });
  }

  does(invoke: Omit<Invoke, 'at' | 'process' | 'call'>, answer: Omit<Return, 'at' | 'process' | 'call'> | null): this {
    const id = { process: 'client', call: ++this.#call };
    this.lines.push({ at: this.#at, ...id, ...invoke });
    this.#at += 1_000;
    if (answer !== null) this.lines.push({ at: this.#at - 1, ...id, ...answer });
    return this;
  }

  waits(ms: number): this {
    this.#at += 1_000 * ms;
    return this;
  }

  put(ids: readonly number[], outcome: Return['outcome'] = 'ok', tags?: Record<string, string>): this {
    return this.does({ does: 'put', rows: ids.map((id) => ({ id, cells: { x: `x${id}` }, tags })) }, { outcome });
  }

  claim(token: string, rows: readonly (readonly [number, number])[], more: Partial<Invoke> = {}): this {
    const granted = rows.map(([id, attempt]) => ({ id, attempt, cells: { x: `x${id}` } }));
    return this.does(
      { does: 'claim', task: TASK, ...more },
      { outcome: 'ok', token, leaseMs: LEASE_MS, rows: granted },
    );
  }

  ack(token: string, answer: Partial<Return> = {}): this {
    return this.does({ does: 'ack', task: TASK, token }, { outcome: 'ok', ...answer });
  }

  end(ids: readonly number[]): this {
    this.does({ does: 'claim', task: TASK }, { outcome: 'ok', end: 'drained' });
    const rows = ids.map((id) => ({ id, cells: { x: `x${id}` } }));
    return this.does({ does: 'read' }, { outcome: 'ok', rows });
  }

  check(final = false): ReturnType<typeof check> {
    return check(joinLines(parseLines(this.lines.map((line) => `${JSON.stringify(line)}\n`).join(''))), { final });
  }
}

const stale = { outcome: 'fail', code: 'claim_stale' } as const;

test('a right history has no violation, and its counters', () => {
  const script = new Script()
    .put([0, 1, 2, 3])
    .claim('a', [
      [0, 1],
      [1, 1],
    ])
    .ack('a')
    .claim('b', [
      [2, 1],
      [3, 1],
    ])
    .waits(LEASE_MS)
    .claim('c', [
      [2, 2],
      [3, 2],
    ])
    .ack('b', stale)
    .ack('c')
    .end([0, 1, 2, 3]);
  const { counters, violations, voids } = script.check(true);
  expect({ violations, voids }).toEqual({ violations: [], voids: [] });
  expect(counters).toMatchObject({ granted: 6, acks_ok: 2, acks_stale: 1, redelivered: 2, lost: 0, recovered: 0 });
});

test('grants that nobody heard of, and puts without an answer, are explained', () => {
  const script = new Script().put([0], 'unknown');
  script
    .does({ does: 'claim', task: TASK }, null)
    .waits(LEASE_MS)
    .claim('b', [[0, 2]])
    .ack('b')
    .end([0]);
  expect(script.check(true)).toMatchObject({ violations: [], counters: { recovered: 1, unknown: 2 } });
});

test('a dead letter whose last attempt nobody heard of is queued anew', () => {
  const script = new Script(2).put([0]).claim('a', [[0, 1]]);
  script
    .waits(LEASE_MS)
    .does({ does: 'claim', task: TASK }, null)
    .waits(LEASE_MS)
    .does({ does: 'requeue', task: TASK }, { outcome: 'ok' })
    .claim('b', [[0, 1]])
    .ack('b')
    .end([0]);
  expect(script.check(true)).toMatchObject({ violations: [], counters: { redelivered: 1 } });
});

test('a grant shows what was there at its first try, of which nobody heard', () => {
  const rows = [{ id: 0, cells: { x: 'new' } }];
  const request = 'once';
  const { violations } = new Script()
    .put([0])
    .does({ does: 'claim', task: TASK, request }, null)
    .does({ does: 'put', rows }, { outcome: 'ok' })
    .claim('a', [[0, 1]], { request })
    .ack('a')
    .does({ does: 'claim', task: TASK }, { outcome: 'ok', end: 'drained' })
    .does({ does: 'read' }, { outcome: 'ok', rows })
    .check(true);
  expect(violations).toEqual([]);
});

test('a run without a drain, a read or a kill proves nothing', () => {
  const history = joinLines(new Script().put([0]).lines);
  expect(check(history, { final: true, kills: ['server'] }).voids).toHaveLength(3);
});

test('a torn last line is no line', () => {
  expect(parseLines('{"at":1,"process":"a","note":"kill","of":"b"}\n{"at":2,"pro')).toHaveLength(1);
});

const planted: Record<string, [kind: string, script: Script, final?: boolean]> = {
  'a lost put': [
    'lost',
    new Script()
      .put([0, 1])
      .claim('a', [
        [0, 1],
        [1, 1],
      ])
      .ack('a')
      .end([0]),
    true,
  ],
  'a row that is never granted': [
    'lost',
    new Script()
      .put([0, 1])
      .claim('a', [[0, 1]])
      .ack('a')
      .end([0, 1]),
    true,
  ],
  'a lost ack': [
    'lost',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .ack('a')
      .waits(LEASE_MS)
      .claim('b', [[0, 2]]),
  ],
  'a double ack': [
    'duplicated',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS)
      .claim('b', [[0, 2]])
      .ack('a')
      .ack('b'),
  ],
  'overlapping leases': [
    'duplicated',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .claim('b', [[0, 2]]),
  ],
  'a lease that ended although it was renewed': [
    'duplicated',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS - 2)
      .does({ does: 'renew', token: 'a' }, { outcome: 'ok', leaseMs: LEASE_MS })
      .waits(2)
      .claim('b', [[0, 2]]),
  ],
  'the same attempt twice': [
    'duplicated',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS)
      .claim('b', [[0, 1]]),
  ],
  'the same attempt twice, of a row that was no dead letter': [
    'duplicated',
    new Script(2)
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS)
      .does({ does: 'requeue', task: TASK }, { outcome: 'ok' })
      .claim('b', [[0, 1]]),
  ],
  'a redelivery that nothing explains': ['duplicated', new Script().put([0]).claim('a', [[0, 2]])],
  'a split group': ['unexpected', new Script().put([0, 1]).claim('a', [[0, 1]], { groupSize: 2 })],
  'a stale ack that is accepted': [
    'lost',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS)
      .claim('b', [[0, 2]])
      .ack('a'),
  ],
  'a good ack that is refused': [
    'unexpected',
    new Script()
      .put([0])
      .claim('a', [[0, 1]])
      .ack('a', stale),
  ],
  'a cell that is missing': [
    'unexpected',
    new Script()
      .put([0])
      .does({ does: 'claim', task: TASK }, { outcome: 'ok', token: 'a', rows: [{ id: 0, attempt: 1, cells: {} }] }),
  ],
  'bytes of a put that failed': ['unexpected', new Script().put([0], 'fail').claim('a', [[0, 1]])],
  'a row that does not pass the filter': [
    'unexpected',
    new Script().put([0], 'ok', { kind: 'b' }).claim('a', [[0, 1]], { where: { kind: 'a' } }),
  ],
  'a row that is too old': [
    'unexpected',
    new Script()
      .put([0], 'ok', { version: '1' })
      .does({ does: 'advance', version: 3 }, { outcome: 'ok' })
      .claim('a', [[0, 1]], { staleness: 1 }),
  ],
  'two answers to one request': [
    'duplicated',
    new Script()
      .put([0, 1])
      .claim('a', [[0, 1]], { request: 'r' })
      .claim('b', [[1, 1]], { request: 'r' }),
  ],
  'ranks that get different rows': [
    'unexpected',
    new Script()
      .put([0, 1])
      .claim('a', [[0, 1]], { batch: 'b/1/0' })
      .claim('b', [[1, 1]], { batch: 'b/1/0' }),
  ],
  'a dead letter that is given out': [
    'unexpected',
    new Script(1)
      .put([0])
      .claim('a', [[0, 1]])
      .waits(LEASE_MS)
      .claim('b', [[0, 2]]),
  ],
  'a row that comes back after it was passed': [
    'lost',
    new Script()
      .put([0])
      .does({ does: 'look', task: TASK }, { outcome: 'ok', over: [0] })
      .claim('a', [[0, 1]]),
  ],
  'a budget that is narrower than it says': [
    'unexpected',
    new Script()
      .does({ does: 'declare', rowsMax: 2 }, { outcome: 'ok' })
      .does({ does: 'put', rows: [{ id: 0, cells: {} }] }, { outcome: 'fail', code: 'over_budget' }),
  ],
};

test.each(Object.entries(planted))('finds %s', (_, [kind, script, final]) => {
  const { counters, violations } = script.check(final);
  expect(violations[0]).toContain(kind);
  expect(counters[kind as 'lost']).toBeGreaterThan(0);
});

test('the checker shares no code with what it checks', () => {
  for (const name of readdirSync(import.meta.dirname)) {
    if (name.endsWith('.test.ts')) continue;
    const text = readFileSync(`${import.meta.dirname}/${name}`, 'utf8');
    for (const [, source] of text.matchAll(/from '([^']+)'/g)) expect(source).toMatch(/^\.\/[a-z_]+\.ts$/);
  }
});
