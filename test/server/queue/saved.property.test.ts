/**
 * A queue that is saved bit by bit and now and then loaded again, beside one that is never touched: they must answer
 * the same and be the same. And marks that are forgotten: the same runs must find each kind of each function.
 *
 * SEED=n and RUNS=n in the environment choose other sequences.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import { machine, queueLimits, type Machine } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { runsOr, seedOr } from '../../support/runs.ts';
import { dump } from './dump.ts';
import { forget, listen, type Forgotten } from './forget.ts';
import { Harness } from './harness.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';
import { sequences, type Sequence, type Step } from './sequences.ts';
import { perform } from './steps.ts';

const seed = seedOr(20_250_301);
const numRuns = runsOr(300);
const wasm = createBitmaps(loadCore());

/** Short memories, so that claims are forgotten; short pages, so that they fill, double and are freed. */
const limits = { ...queueLimits, expiredRowsMax: 8, endedClaimsMax: 4 };
const memories: Record<string, () => Bitmaps> = {
  'core.wasm': () => wasm,
  'short pages': () => createPlainBitmaps(2, 4),
};

/** What is saved before a step: some units, a few times; then perhaps all, and a queue is made of it. */
interface Save {
  readonly rounds: readonly number[];
  readonly then: 'go on' | 'compare' | 'restart';
}
const save: fc.Arbitrary<Save> = fc.record({
  rounds: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }),
  then: fc.constantFrom('go on', 'go on', 'go on', 'compare', 'restart'),
});
const saves = fc.array(save, { minLength: 1, maxLength: 40, size: 'max' });
const everything: readonly Save[] = [{ rounds: [], then: 'compare' }];

/** Two engines that are told the same. */
class Pair {
  readonly #untouched: Harness;
  readonly #store = new RecordStore();
  readonly #groupSize: number;
  readonly #bitmaps: Bitmaps;
  #saved: Harness;

  constructor(broken: Machine, bitmaps: Bitmaps, { groupSize, tasks }: Sequence) {
    this.#groupSize = groupSize;
    this.#bitmaps = bitmaps;
    const settings = { tasks };
    this.#untouched = new Harness({ machine, groupSize, bitmaps, settings, limits });
    this.#saved = new Harness({ machine: broken, groupSize, bitmaps, settings, limits });
  }

  perform(step: Step): void {
    const [answer, expected] = [this.#saved, this.#untouched].map((harness) => perform(harness, step, this.#groupSize));
    expect(answer).toEqual(expected);
    if (step.kind === 'crash') this.save({ rounds: [], then: 'restart' });
  }

  save({ rounds, then }: Save): void {
    for (const unitsMax of rounds) this.#store.save(this.#saved.queue, unitsMax);
    if (then === 'go on') return;
    this.#store.saveAll(this.#saved.queue);
    const { settings } = this.#saved.queue;
    const options = { partition: 1, groupSize: this.#groupSize, bitmaps: this.#bitmaps, settings, limits };
    const loaded = this.#store.load(options);
    expect(dump(loaded)).toEqual(dump(this.#untouched.queue));
    expect(machine.dirtyCount(loaded)).toBe(0);
    const unneeded = then === 'restart' ? this.#saved.queue : loaded;
    if (then === 'restart') {
      this.#saved = this.#saved.continuedOn(loaded);
      for (const { queue, now } of [this.#saved, this.#untouched]) machine.restartLeases(queue, now);
    }
    machine.drop(unneeded);
  }

  close(): void {
    machine.drop(this.#saved.queue);
    machine.drop(this.#untouched.queue);
  }
}

function run(broken: Machine, bitmaps: Bitmaps, sequence: Sequence, list: readonly Save[]): void {
  const pair = new Pair(broken, bitmaps, sequence);
  const seal: Step[] = sequence.sealed ? [{ kind: 'seal' }] : [];
  [...sequence.steps, ...seal, ...sequence.stepsAfter].forEach((step, i) => {
    pair.save(list[i % list.length]);
    pair.perform(step);
  });
  pair.save({ rounds: [], then: 'restart' });
  pair.close();
}

test.each(Object.keys(memories))(`nothing is left out in ${numRuns} sequences, seed ${seed}, on %s`, (name) => {
  fc.assert(
    fc.property(sequences, saves, (sequence, list) => run(machine, memories[name](), sequence, list)),
    { seed, numRuns },
  );
});

describe('marks that are forgotten are missed', () => {
  /** What each function changes. */
  const changing: readonly Forgotten[] = [
    'applyInsert header',
    'applyInsert claim',
    'applyInsert groups',
    'applyInsert live',
    'applyInsert field',
    'applyInsert marks',
    'applyDelete claim',
    'applyDelete groups',
    'applyDelete live',
    'applyDelete field',
    'applyDelete taken',
    'applyDelete marks',
    'applyClaim task',
    'applyClaim claim',
    'applyClaim taken',
    'applyClaim marks',
    'applyAck claim',
    'applyAck taken',
    'applyAck marks',
    'applyRelease claim',
    'applyRelease taken',
    'applyRelease marks',
    'applyDeclare task',
    'applyRequeue taken',
    'applyRequeue marks',
    'applyReset task',
    'applyReset claim',
    'applyReset taken',
    'applyReset marks',
    'applySkip task',
    'applySkip claim',
    'applySkip taken',
    'applySkip marks',
    'applySeal header',
  ];
  const tried = fc.sample(sequences, { seed, numRuns: Math.ceil(numRuns / 3) });
  const runAll = (broken: Machine): void => {
    for (const sequence of tried) run(broken, createPlainBitmaps(2, 4), sequence, everything);
  };

  test('these are all that are made', () => {
    const made = new Set<Forgotten>();
    runAll(listen((what) => made.add(what)));
    expect([...made].sort()).toEqual([...changing].sort());
  });

  test.each(changing)('%s', (what) => {
    expect(() => runAll(forget(what))).toThrow();
  });
});
