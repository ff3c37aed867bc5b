/** The eviction policy: what it keeps, what it forgets, and that a scan does not wash it out. */

import { expect, test } from 'vitest';
import { S3Fifo, type Queued } from '../../../server/tree/s3_fifo.ts';
import { seededRandom } from '../../support/sim_env.ts';
import { picker } from './support.ts';

/** A cache of numbers under the policy; counts what it had. */
class Cache {
  readonly #frames = new Map<number, Queued>();
  readonly #policy: S3Fifo<Queued>;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#policy = new S3Fifo(capacity);
  }

  get size(): number {
    return this.#frames.size;
  }

  has(id: number): boolean {
    return this.#frames.has(id);
  }

  /** Whether it was there; it is now. */
  ask(id: number): boolean {
    const known = this.#frames.get(id);
    if (known !== undefined) {
      this.#policy.use(known);
      return true;
    }
    if (this.#frames.size === this.#capacity) {
      const given = this.#policy.evict();
      if (given === null) return false;
      this.#frames.delete(given.id);
    }
    const frame: Queued = { id, pins: 0, uses: 0, queue: null, newer: null, older: null };
    this.#frames.set(id, frame);
    this.#policy.admit(frame);
    return false;
  }

  pin(id: number, pins: number): void {
    this.#frames.get(id)!.pins = pins;
  }

  forget(id: number): void {
    this.#policy.remove(this.#frames.get(id)!);
    this.#frames.delete(id);
  }
}

test('what was used twice outlives a scan of any length', () => {
  const cache = new Cache(100);
  for (let round = 0; round < 4; round++) for (let id = 0; id < 80; id++) cache.ask(id);
  for (let id = 1_000; id < 11_000; id++) cache.ask(id);
  const kept = Array.from({ length: 80 }, (_, id) => id).filter((id) => cache.has(id));
  expect(kept.length).toBeGreaterThan(70);
  expect(cache.size).toBe(100);
});

test('a list in order of use would have lost all of it', () => {
  const lru = new Map<number, true>();
  const ask = (id: number) => {
    lru.delete(id);
    lru.set(id, true);
    if (lru.size > 100) lru.delete(lru.keys().next().value!);
  };
  for (let round = 0; round < 4; round++) for (let id = 0; id < 80; id++) ask(id);
  for (let id = 1_000; id < 11_000; id++) ask(id);
  expect([...lru.keys()].filter((id) => id < 80)).toEqual([]);
});

test('what comes back soon after it went is kept for longer', () => {
  const cache = new Cache(100);
  for (let id = 0; id < 105; id++) cache.ask(id);
  expect(cache.has(0)).toBe(false);
  cache.ask(0);
  for (let id = 1_000; id < 1_060; id++) cache.ask(id);
  expect(cache.has(0)).toBe(true);
  expect(cache.has(50)).toBe(false);
});

test('a pinned frame stays, and nothing is given up when all are pinned', () => {
  const cache = new Cache(10);
  for (let id = 0; id < 10; id++) cache.ask(id);
  cache.pin(3, 1);
  for (let id = 100; id < 300; id++) cache.ask(id);
  expect(cache.has(3)).toBe(true);
  for (let id = 0; id < 300; id++) if (cache.has(id)) cache.pin(id, 1);
  expect(cache.ask(999)).toBe(false);
  expect(cache.has(999)).toBe(false);
});

test('hits of a skewed load come near to those of the best fixed choice', () => {
  const pick = picker(seededRandom(5));
  const cache = new Cache(200);
  let hits = 0;
  for (let i = 0; i < 100_000; i++) {
    const id = pick(10) < 8 ? pick(150) : 1_000 + pick(100_000);
    if (cache.ask(id)) hits++;
  }
  expect(hits / 100_000).toBeGreaterThan(0.75);
});

test('stays within its capacity whatever is asked, pinned and forgotten', () => {
  const pick = picker(seededRandom(7));
  const cache = new Cache(16);
  for (let i = 0; i < 50_000; i++) {
    const id = pick(40);
    cache.ask(id);
    if (cache.has(id) && pick(10) === 0) cache.pin(id, pick(2));
    if (cache.has(id) && pick(20) === 0) cache.forget(id);
    expect(cache.size).toBeLessThanOrEqual(16);
  }
});
