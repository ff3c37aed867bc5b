/**
 * A random history of a tree beside its model: every read is compared. What the seed decides, the same seed decides
 * again.
 */

import { expect } from 'vitest';
import type { Tree } from '../../../server/tree/api.ts';
import type { TreeOptions } from '../../../server/tree/tree.ts';
import { verifyTree } from '../../../server/tree/verify.ts';
import { seededRandom, simEnv, type SimFs } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, Model, openSmall, picker, textOf, textOrNull } from './support.ts';

const KEYS = 600;

export type Shape = Partial<TreeOptions> & { readonly valueSize?: number };

interface Snapshot {
  readonly lsn: number;
  release(): void;
}

export class History {
  readonly #fs: SimFs;
  readonly #model = new Model();
  readonly #random: () => number;
  readonly #pick: (count: number) => number;
  readonly #filler: string;
  readonly #sizes: Partial<TreeOptions>;
  #tree!: Tree;
  #lsn = 0;
  #flushing: Promise<void> | null = null;
  #snapshots: Snapshot[] = [];

  /** Long values fill blocks, files and levels quickly. */
  constructor(fs: SimFs, seed: number, { valueSize = 120, ...sizes }: Shape = {}) {
    this.#fs = fs;
    this.#random = seededRandom(seed);
    this.#pick = picker(this.#random);
    this.#filler = 'x'.repeat(valueSize);
    this.#sizes = sizes;
  }

  async open(): Promise<void> {
    this.#tree = await openSmall(simEnv(this.#fs), this.#sizes);
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) await this.#step();
    await this.#checkAll();
    await this.reopen();
    await this.#checkAll();
    await this.#tree.compacted();
    await this.#checkAll();
    await this.#tree.close();
    const report = await verifyTree(simEnv(this.#fs), DIRECTORY);
    expect(report.problems).toEqual([]);
  }

  async #step(): Promise<void> {
    const die = this.#pick(100);
    if (die < 40) return this.#write();
    if (die < 60) return this.#checkGets();
    if (die < 75) return this.#checkRange();
    if (die < 80) return this.#load();
    if (die < 85) return this.#snapshot();
    if (die < 95) return this.#flush();
    if (die < 97) return this.#drop();
    if (die < 98) return this.#tree.compacted();
    return this.reopen();
  }

  #key(): string {
    return `k${String(this.#pick(KEYS)).padStart(3, '0')}`;
  }

  #write(): void {
    const lsn = ++this.#lsn;
    const isMany = this.#pick(3) === 0;
    const keys = new Set(Array.from({ length: isMany ? 1 + this.#pick(60) : 1 }, () => this.#key()));
    const values = [...keys].map(() =>
      this.#pick(4) === 0 ? null : `${lsn}${this.#filler.slice(this.#pick(this.#filler.length))}`,
    );
    if (isMany)
      this.#tree.putMany(
        [...keys].map(bytesOf),
        values.map((value) => (value === null ? null : bytesOf(value))),
        lsn,
      );
    for (const [i, key] of [...keys].entries()) {
      this.#model.write(key, values[i], lsn);
      if (isMany) continue;
      if (values[i] === null) this.#tree.delete(bytesOf(key), lsn);
      else this.#tree.put(bytesOf(key), bytesOf(values[i]), lsn);
    }
  }

  /** The newest state, or that of a snapshot. */
  #someLsn(): number | undefined {
    return this.#pick(2) === 0 ? undefined : this.#snapshots[this.#pick(4)]?.lsn;
  }

  async #checkGets(): Promise<void> {
    const keys = Array.from({ length: 1 + this.#pick(40) }, () => this.#key());
    const lsn = this.#someLsn();
    const expected = keys.map((key) => this.#model.get(key, lsn));
    const found = this.#tree.get(keys.map(bytesOf), lsn);
    // Reads that wait must not see this.
    if (this.#pick(4) === 0) this.#write();
    expect((await found).map(textOrNull)).toEqual(expected);
  }

  async #checkRange(): Promise<void> {
    const [start, end] = [this.#key(), this.#key()].sort();
    const range = { start, end, reverse: this.#pick(2) === 0, lsn: this.#someLsn() };
    const expected = this.#model.entries(range);
    const found = entriesOf(this.#tree, range);
    if (this.#pick(4) === 0) this.#write();
    expect(await found).toEqual(expected);
  }

  async #checkAll(): Promise<void> {
    expect(await entriesOf(this.#tree)).toEqual(this.#model.entries());
    expect(await entriesOf(this.#tree, { reverse: true })).toEqual(this.#model.entries({ reverse: true }));
    for (const { lsn } of this.#snapshots) {
      expect(await entriesOf(this.#tree, { lsn })).toEqual(this.#model.entries({ lsn }));
    }
  }

  async #load(): Promise<void> {
    const keys = Array.from({ length: 1 + this.#pick(10) }, () => this.#key());
    await this.#tree.load(keys.map(bytesOf));
    for (const key of keys) {
      // A flush that ended meanwhile may have taken the memtable away.
      if (!this.#tree.inMemory(bytesOf(key))) continue;
      const value = this.#tree.peek(bytesOf(key))!;
      expect(value === null ? null : textOf(value)).toBe(this.#model.get(key));
    }
  }

  #snapshot(): void {
    if (this.#snapshots.length < 4 && this.#pick(2) === 0) this.#snapshots.push(this.#tree.snapshot(this.#lsn));
    else this.#snapshots.splice(this.#pick(4), 1)[0]?.release();
  }

  async #flush(): Promise<void> {
    await this.#flushing;
    const lsn = this.#lsn;
    this.#tree.rotate();
    if (this.#pick(2) === 0) {
      const key = `late${this.#pick(5)}`;
      this.#tree.putFrozen(bytesOf(key), bytesOf(String(lsn)), Math.max(1, lsn));
      this.#model.write(key, String(lsn), Math.max(1, lsn));
    }
    this.#flushing = this.#tree.flush({ lsn });
    if (this.#pick(2) === 0) await this.#flushing;
  }

  /** Keys of their own, so that nobody writes them again; snapshots have nothing to say about them. */
  #drop(): void {
    const space = `gone${this.#lsn}.`;
    const lsn = ++this.#lsn;
    for (let i = 0; i < 30; i++) {
      this.#tree.put(bytesOf(`${space}${i}`), bytesOf(this.#filler), lsn);
      this.#model.write(`${space}${i}`, this.#filler, lsn);
    }
    this.#lsn++;
    this.#tree.dropRange({ start: bytesOf(space), end: bytesOf(`${space}z`) });
    this.#model.forgetKeys(space, `${space}z`);
  }

  async reopen(): Promise<void> {
    await this.#flushing;
    for (const snapshot of this.#snapshots) snapshot.release();
    this.#snapshots = [];
    this.#tree.rotate();
    await this.#tree.flush({ lsn: this.#lsn });
    await this.#tree.close();
    await this.open();
    expect(this.#tree.checkpoint).toEqual({ lsn: this.#lsn });
  }
}
