/**
 * Budgets against a model that tries everyone who waits after each step: nobody is let in too early, passed over or
 * forgotten, whatever frees the room. TQ_LONG=1 runs 2,000 sequences.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Node } from '../../../server/engine/node.ts';
import { advance, deleteRows } from '../../../server/engine/partitions.ts';
import { declareTest, openTestNode, putText } from '../../support/node.ts';
import { isLong, TIMEOUT_MS } from '../../support/runs.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const NODE_ROWS_MAX = 9;
const WAIT_MS = 1_000;
const PARTITIONS = ['p', 'q'] as const;
type Name = (typeof PARTITIONS)[number];

type End = 'waits' | 'done' | 'over_budget' | 'request_timeout';

interface Put {
  readonly partition: Name;
  readonly ids: readonly number[];
  readonly deadlineMs: number;
  end: End;
}

/** What the budgets should do, one step after the other. */
class Model {
  readonly rows: Record<Name, Set<number>> = { p: new Set(), q: new Set() };
  readonly rowsMax: Record<Name, number> = { p: Infinity, q: Infinity };
  readonly admitted: Record<Name, number> = { p: 0, q: 0 };
  readonly version: Record<Name, number> = { p: 0, q: 0 };
  waiting: Put[] = [];
  now = 0;
  #nodeFull = false;

  put(put: Put, waits: boolean): void {
    const lack = this.#lack(put);
    const isBehind = this.#nodeFull || this.waiting.some(({ partition }) => partition === put.partition);
    if (this.#rowsNew(put) === 0 || (lack === null && !isBehind)) this.#admit(put);
    else if (!waits || this.#isHopeless(put)) put.end = 'over_budget';
    else this.waiting.push(put);
    this.serve();
  }

  pass(ms: number): void {
    this.now += ms;
    for (const put of this.waiting) if (put.deadlineMs <= this.now) put.end = 'over_budget';
    this.serve();
  }

  serve(): void {
    for (let served = true; served;) {
      served = false;
      this.#nodeFull = false;
      this.waiting = this.waiting.filter(({ end }) => end === 'waits');
      const blocked = new Set<Name>();
      for (const put of this.waiting) {
        if (this.#rowsNew(put) > 0) {
          if (this.#nodeFull || blocked.has(put.partition)) continue;
          const lack = this.#isHopeless(put) ? null : this.#lack(put);
          if (lack === 'node') this.#nodeFull = true;
          if (lack === 'partition') blocked.add(put.partition);
          if (lack !== null) continue;
        }
        if (this.#rowsNew(put) > 0 && this.#isHopeless(put)) put.end = 'over_budget';
        else this.#admit(put);
        served = true;
        break;
      }
    }
  }

  #rowsNew({ partition, ids }: Put): number {
    return ids.filter((id) => !this.rows[partition].has(id)).length;
  }

  #isHopeless(put: Put): boolean {
    const { partition } = put;
    const lack = this.#lack(put);
    if (lack === null) return false;
    return this.#rowsNew(put) > (lack === 'node' ? NODE_ROWS_MAX : this.rowsMax[partition]) && this.#lackOfRows(put);
  }

  /** The budget of rows is the first that lacks: a pace is no reason to give up. */
  #lackOfRows(put: Put): boolean {
    const { partition } = put;
    return this.#lack(put) === 'node' || this.rows[partition].size + this.#rowsNew(put) > this.rowsMax[partition];
  }

  #lack(put: Put): 'partition' | 'node' | null {
    const { partition } = put;
    const asked = this.#rowsNew(put);
    if (this.rows[partition].size + asked > this.rowsMax[partition]) return 'partition';
    // Only q has a pace: 4 rows a version, one version ahead.
    if (partition === 'q' && this.admitted.q + asked > (this.version.q + 2) * 4) return 'partition';
    return this.rows.p.size + this.rows.q.size + asked > NODE_ROWS_MAX ? 'node' : null;
  }

  #admit(put: Put): void {
    put.end = 'done';
    this.admitted[put.partition] += this.#rowsNew(put);
    for (const id of put.ids) this.rows[put.partition].add(id);
  }
}

type Step =
  | {
      readonly kind: 'put';
      readonly partition: Name;
      readonly fresh: number;
      readonly old: number;
      readonly waits: boolean;
    }
  | { readonly kind: 'again'; readonly which: number }
  | { readonly kind: 'leave'; readonly which: number }
  | { readonly kind: 'remove'; readonly partition: Name; readonly from: number; readonly count: number }
  | { readonly kind: 'declare'; readonly partition: Name; readonly rowsMax: number }
  | { readonly kind: 'advance' }
  | { readonly kind: 'pass'; readonly ms: number };

const partition = fc.constantFrom(...PARTITIONS);
const which = fc.nat({ max: 3 });
const put = fc.record({
  kind: fc.constant('put' as const),
  partition,
  fresh: fc.integer({ min: 0, max: 4 }),
  old: fc.integer({ min: 0, max: 2 }),
  waits: fc.boolean(),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: put },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('again' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      partition,
      from: fc.nat(8),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('declare' as const), partition, rowsMax: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'advance' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(100, 600) }) },
);

/** A node and the model, doing the same. */
class World {
  readonly model = new Model();
  readonly #env: SimEnv;
  readonly #node: Node;
  readonly #puts: { readonly model: Put; real: string; leave: () => void }[] = [];
  #idNext = 0;

  constructor(env: SimEnv, node: Node) {
    this.#env = env;
    this.#node = node;
  }

  async perform(one: Step): Promise<void> {
    const { model } = this;
    switch (one.kind) {
      case 'put': {
        const fresh = Array.from({ length: one.fresh }, () => this.#idNext++);
        const ids = [...[...model.rows[one.partition]].slice(0, one.old), ...fresh];
        return ids.length === 0 ? undefined : this.#put(one.partition, ids, one.waits);
      }
      case 'again': {
        const again = model.waiting[one.which];
        return again === undefined ? undefined : this.#put(again.partition, again.ids, true);
      }
      case 'leave': {
        const gone = this.#puts.filter(({ model: { end } }) => end === 'waits')[one.which];
        gone?.leave();
        if (gone !== undefined) gone.model.end = 'request_timeout';
        return model.serve();
      }
      case 'remove': {
        const ids = [...model.rows[one.partition]].slice(one.from, one.from + one.count);
        await deleteRows(this.#node, one.partition, { ids: Float64Array.from(ids), requestId: '' });
        for (const id of ids) model.rows[one.partition].delete(id);
        return model.serve();
      }
      case 'declare':
        await declareTest(this.#node, one.partition, { queue: { rowsMax: one.rowsMax } });
        model.rowsMax[one.partition] = one.rowsMax;
        return model.serve();
      case 'advance':
        model.version.q += 1;
        await advance(this.#node, 'q', model.version.q);
        return model.serve();
      case 'pass':
        await this.#env.clock.advance(one.ms);
        return model.pass(one.ms);
    }
  }

  /** The node did what the model did. */
  async compare(): Promise<void> {
    await settle();
    expect(this.#puts.map(({ real }) => real)).toEqual(this.#puts.map(({ model: { end } }) => end));
    expect(this.#node.budgets.count).toBe(this.model.waiting.length);
    for (const name of PARTITIONS) {
      const ids = await this.#node.partition(name).index.scan({ start: 0, end: 1e6, rowsMax: 1_000 });
      expect([...ids]).toEqual([...this.model.rows[name]].sort((a, b) => a - b));
    }
  }

  #put(name: Name, ids: readonly number[], waits: boolean): void {
    const model: Put = { partition: name, ids, deadlineMs: this.model.now + WAIT_MS, end: 'waits' };
    const from = { gone: () => undefined as void, onClose: (gone: () => void): void => void (from.gone = gone) };
    const one = { model, real: 'waits', leave: () => from.gone() };
    this.#puts.push(one);
    const values = ids.map(String);
    putText(this.#node, name, ids, 'a', values, { waitMs: waits ? WAIT_MS : 0 }, from).then(
      () => (one.real = 'done'),
      (error: { code: string }) => (one.real = error.code),
    );
    this.model.put(model, waits);
  }
}

test(
  'who waits, gets in or is refused is as in the model',
  async () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const env = simEnv(SimFs.withReserve('/data'));
        const opened = await openTestNode(env, '/data', 9 << 20, { budget: { rowsMax: NODE_ROWS_MAX, bytesMax: 0 } });
        const world = new World(env, opened.node);
        await declareTest(opened.node, 'p');
        await declareTest(opened.node, 'q', { queue: { pace: { rowsPerVersion: 4, maxAhead: 1 } } });
        for (const one of sequence) {
          await world.perform(one);
          await world.compare();
        }
        await opened.close();
      }),
      { numRuns: isLong ? 2_000 : 60 },
    );
  },
  TIMEOUT_MS,
);
