/**
 * The tree against LevelDB as a model: random writes, reads, ranges, snapshots and restarts on both, and no difference.
 * Keys are few and collide, memtables, files and levels are tiny. `TQ_LONG=1` runs 10 million operations, and says how
 * far it came.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { expect, test } from 'vitest';
import type { Tree } from '../../../server/tree/api.ts';
import { isLong, TIMEOUT_MS } from '../../support/runs.ts';
import { seededRandom, simEnv, SimFs } from '../../support/sim_env.ts';
import { openSmall, picker } from './support.ts';

const OPERATIONS = isLong ? 10_000_000 : 200_000;
const COMPARED_EACH = 500;
const TOLD_EACH = 500_000;
const BYTES = Buffer.from([0, 1, ...Buffer.from('ab'), 254, 255]);
const SNAPSHOTS_MAX = 3;

type Level = ClassicLevel<Uint8Array, Uint8Array>;
type LevelSnapshot = ReturnType<Level['snapshot']>;
type Write = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array };

/** LevelDB says `undefined` where the tree says null. */
type Value = Uint8Array | null | undefined;
type Entry = readonly [key: Uint8Array, value: Uint8Array];

const hex = (bytes: Value) => (bytes ? Buffer.from(bytes).toString('hex') : null);
const isSame = (a: Value, b: Value) => (a && b ? Buffer.compare(a, b) === 0 : !a && !b);

/** Hexadecimal digits cost more than the reads: only a difference is written out. */
function expectSame(found: readonly Value[], expected: readonly Value[]): void {
  if (found.length === expected.length && found.every((value, i) => isSame(value, expected[i]))) return;
  expect(found.map(hex)).toEqual(expected.map(hex));
}

/** The tree and LevelDB, side by side. */
class Pair {
  readonly #directory: string;
  /** Syncs of a real disk would take most of the time, and other tests wait for them. */
  readonly #fs = new SimFs();
  readonly #pick: (count: number) => number;
  #tree!: Tree;
  #level!: Level;
  #lsn = 0;
  #writes: Write[] = [];
  #snapshots: { tree: ReturnType<Tree['snapshot']>; level: LevelSnapshot }[] = [];
  #flushing: Promise<void> | null = null;
  readonly counts = { put: 0, get: 0, delete: 0, range: 0, snapshot: 0, flush: 0, reopen: 0 };

  constructor(directory: string, seed: number) {
    this.#directory = directory;
    this.#pick = picker(seededRandom(seed));
  }

  async open(): Promise<void> {
    this.#tree = await openSmall(simEnv(this.#fs), { pieceFilesMax: 2 });
    this.#level = new ClassicLevel(this.#directory, { keyEncoding: 'view', valueEncoding: 'view' });
    await this.#level.open();
  }

  async close(): Promise<void> {
    await this.#flushing;
    for (const { tree, level } of this.#snapshots) {
      tree.release();
      await level.close();
    }
    this.#snapshots = [];
    await this.#tree.close();
    await this.#level.close();
  }

  async run(operations: number): Promise<void> {
    const startMs = performance.now();
    for (let done = 1; done <= operations; done++) {
      const die = this.#pick(100);
      if (die < 45) this.#write({ type: 'put', key: this.#key(), value: this.#value() });
      else if (die < 55) this.#write({ type: 'del', key: this.#key() });
      else await this.#compareGet();
      if (this.#writes.length > this.#pick(40)) await this.#commit();
      if (done % COMPARED_EACH === 0) await this.#compare();
      if (done % TOLD_EACH === 0) tell(done, startMs);
    }
    await this.#compare();
  }

  /** One of about 3,000: comparing takes as long after ten million operations as after a few. */
  #key(): Uint8Array {
    if (this.#pick(150) === 0) return new Uint8Array(this.#pick(200)).fill(BYTES[this.#pick(BYTES.length)]);
    const size = this.#pick(3) === 0 ? 1 : this.#pick(5);
    return Uint8Array.from({ length: size }, () => BYTES[this.#pick(BYTES.length)]);
  }

  #value(): Uint8Array {
    return Buffer.alloc(this.#pick(10) === 0 ? this.#pick(2_000) : this.#pick(40), String(this.#pick(1e9)));
  }

  #write(write: Write): void {
    this.counts[write.type === 'put' ? 'put' : 'delete']++;
    this.#writes.push(write);
  }

  /** What gathered is one atomic batch in both. */
  async #commit(): Promise<void> {
    const writes = this.#writes;
    this.#writes = [];
    const lsn = ++this.#lsn;
    // A scan that begins before the batch sees nothing of it, however long it takes.
    const range = this.#pick(20) === 0 ? this.#range() : null;
    const before = range === null ? null : this.#treeRange(range);
    const expected = range === null ? null : await this.#levelRange(range);
    const keys = writes.map(({ key }) => key);
    if (this.#pick(2) === 0) {
      for (const one of writes) {
        if (one.type === 'put') this.#tree.put(one.key, one.value, lsn);
        else this.#tree.delete(one.key, lsn);
      }
    } else {
      const values = writes.map((one) => (one.type === 'put' ? one.value : null));
      this.#tree.putMany(keys, values, lsn);
    }
    await this.#level.batch(writes);
    if (before !== null && expected !== null) expectSame(await before, expected);
    const values = await this.#tree.get(keys);
    expectSame(
      values,
      keys.map((key) => this.#level.getSync(key)),
    );
  }

  async #compareGet(): Promise<void> {
    this.counts.get++;
    const key = this.#key();
    const snapshot = this.#pick(4) === 0 ? this.#snapshots[this.#pick(SNAPSHOTS_MAX)] : undefined;
    const values = await this.#tree.get([key], snapshot?.tree.lsn);
    expectSame(values, [this.#level.getSync(key, { snapshot: snapshot?.level })]);
  }

  async #compare(): Promise<void> {
    await this.#commit();
    await this.#compareRange({});
    for (const reverse of [false, true]) await this.#compareRange({ ...this.#range(), reverse });
    for (const { tree, level } of this.#snapshots) await this.#compareRange({ lsn: tree.lsn, snapshot: level });
    const die = this.#pick(8);
    if (die < 4) await this.#flush();
    if (die === 4) await this.#tree.compacted();
    if (die === 5) this.#takeSnapshot();
    if (die === 6) await this.#dropSnapshot();
    if (this.#pick(30) === 0) await this.#reopen();
  }

  async #compareRange(range: Ranged): Promise<void> {
    this.counts.range++;
    expectSame(await this.#treeRange(range), await this.#levelRange(range));
  }

  #range(): Ranged {
    const [start, end] = [this.#key(), this.#key()].sort(Buffer.compare);
    return { start, end };
  }

  /** Keys and values in turn. */
  async #treeRange({ start = new Uint8Array(0), end = new Uint8Array(255).fill(255), reverse, lsn }: Ranged) {
    const found: Uint8Array[] = [];
    for await (const batch of this.#tree.scan({ start, end, reverse, lsn })) {
      for (const { key, value } of batch) found.push(key, value);
    }
    return found;
  }

  /** Keys and values in turn. */
  async #levelRange({ start = new Uint8Array(0), end = new Uint8Array(255).fill(255), reverse, snapshot }: Ranged) {
    const entries: Entry[] = await this.#level.iterator({ gte: start, lt: end, reverse, snapshot }).all();
    return entries.flat();
  }

  async #flush(): Promise<void> {
    await this.#flushing;
    this.counts.flush++;
    this.#tree.rotate();
    this.#flushing = this.#tree.flush({ lsn: this.#lsn });
    if (this.#pick(2) === 0) await this.#flushing;
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length === SNAPSHOTS_MAX) return;
    this.counts.snapshot++;
    this.#snapshots.push({ tree: this.#tree.snapshot(this.#lsn), level: this.#level.snapshot() });
  }

  async #dropSnapshot(): Promise<void> {
    const [dropped] = this.#snapshots.splice(this.#pick(SNAPSHOTS_MAX), 1);
    dropped?.tree.release();
    await dropped?.level.close();
  }

  async #reopen(): Promise<void> {
    this.counts.reopen++;
    await this.#flush();
    await this.close();
    await this.open();
    expect(this.#tree.checkpoint).toEqual({ lsn: this.#lsn });
  }
}

interface Ranged {
  readonly start?: Uint8Array;
  readonly end?: Uint8Array;
  readonly reverse?: boolean;
  readonly lsn?: number;
  readonly snapshot?: LevelSnapshot;
}

function tell(done: number, startMs: number): void {
  console.log(`D1: ${done} operations, ${Math.round((1_000 * done) / (performance.now() - startMs))}/s`);
}

test(`${OPERATIONS} random operations differ in nothing from LevelDB`, { timeout: TIMEOUT_MS }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tq-tree-'));
  try {
    const pair = new Pair(directory, 20);
    await pair.open();
    await pair.run(OPERATIONS);
    await pair.close();
    expect(pair.counts.put + pair.counts.get + pair.counts.delete).toBe(OPERATIONS);
    expect(Math.min(...Object.values(pair.counts))).toBeGreaterThan(3);
    if (isLong) console.log(pair.counts);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
