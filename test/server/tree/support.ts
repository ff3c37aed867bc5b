/** What the tests of the tree share: a tree small enough that a few hundred entries fill levels, and a model of it. */

import type { Tree } from '../../../server/tree/api.ts';
import { openTree, type TreeOptions } from '../../../server/tree/tree.ts';
import type { SimEnv } from '../../support/sim_env.ts';

export const DIRECTORY = '/data/tree';

/** Blocks have 16 KiB, so that a file is two or three of them. */
export const smallSizes = {
  level0Size: 40 << 10,
  level0RunsMax: 4,
  fileSize: 24 << 10,
  cacheSize: 256 << 10,
  compactionRate: Infinity,
};

export function openSmall(env: SimEnv, sizes: Partial<TreeOptions> = {}): Promise<Tree> {
  return openTree({ env, directory: DIRECTORY, ...smallSizes, ...sizes });
}

export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
export const textOrNull = (bytes: Uint8Array | null): string | null => (bytes === null ? null : textOf(bytes));

export const everything = { start: new Uint8Array(0), end: Uint8Array.of(255) };

/** Entries of a range as `key=value`. */
export async function entriesOf(
  tree: Tree,
  range: { start?: string; end?: string; reverse?: boolean; lsn?: number } = {},
): Promise<string[]> {
  const { start = '', end, reverse, lsn } = range;
  const entries: string[] = [];
  const bounds = { start: bytesOf(start), end: end === undefined ? everything.end : bytesOf(end) };
  for await (const batch of tree.scan({ ...bounds, reverse, lsn })) {
    for (const { key, value } of batch) entries.push(`${textOf(key)}=${textOf(value)}`);
  }
  return entries;
}

/** Keys with all of their versions, as a plain map. */
export class Model {
  readonly #versions = new Map<string, { lsn: number; value: string | null }[]>();

  write(key: string, value: string | null, lsn: number): void {
    const versions = this.#versions.get(key);
    if (versions === undefined) this.#versions.set(key, [{ lsn, value }]);
    else versions.push({ lsn, value });
  }

  get(key: string, lsn = Infinity): string | null {
    return this.#versions.get(key)?.findLast((version) => version.lsn <= lsn)?.value ?? null;
  }

  /** Newer versions never were. */
  forgetAbove(lsn: number): void {
    for (const [key, versions] of this.#versions) {
      this.#versions.set(
        key,
        versions.filter((version) => version.lsn <= lsn),
      );
    }
  }

  forgetKeys(from: string, to: string): void {
    for (const key of this.#versions.keys()) if (key >= from && key < to) this.#versions.delete(key);
  }

  entries(range: { start?: string; end?: string; reverse?: boolean; lsn?: number } = {}): string[] {
    const { start = '', end = '\u{ff}', reverse = false, lsn } = range;
    const keys = [...this.#versions.keys()].filter((key) => key >= start && key < end).sort();
    if (reverse) keys.reverse();
    return keys.flatMap((key) => {
      const value = this.get(key, lsn);
      return value === null ? [] : [`${key}=${value}`];
    });
  }
}

/** A number below `count`. */
export function picker(random: () => number): (count: number) => number {
  return (count) => Math.floor(random() * count);
}

export const nameOf = (i: number) => `k${String(i).padStart(5, '0')}`;

export function putAll(tree: Tree, lsn: number, values: Record<string, string | null>): void {
  for (const [key, value] of Object.entries(values)) {
    if (value === null) tree.delete(bytesOf(key), lsn);
    else tree.put(bytesOf(key), bytesOf(value), lsn);
  }
}

export async function flush(tree: Tree, checkpoint: Record<string, unknown> = {}): Promise<void> {
  tree.rotate();
  await tree.flush(checkpoint);
}

/** Entries of many blocks, flushed. */
export async function fill(tree: Tree, lsn: number, { from = 0, count = 3_000, step = 1 } = {}): Promise<void> {
  for (let i = 0; i < count; i++) tree.put(bytesOf(nameOf(from + i * step)), bytesOf(`value ${from + i * step}`), lsn);
  await flush(tree, { lsn });
}

export async function valuesOf(tree: Tree, keys: readonly string[], lsn?: number): Promise<(string | null)[]> {
  return (await tree.get(keys.map(bytesOf), lsn)).map(textOrNull);
}
