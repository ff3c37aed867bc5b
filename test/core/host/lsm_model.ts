/** What the tests of the LSM primitives share: versions of short, colliding keys, and what readers must see of them. */

import fc from 'fast-check';

import type { BlockWriter, FinishedBlock, LsmMemory, MergedEntry } from '../../../core/lsm.ts';
import type { Version } from '../../vectors/lsm.ts';

export interface Block {
  readonly address: number;
  readonly size: number;
  readonly finished: FinishedBlock;
}

/** Keys that collide, that are prefixes of each other, that differ behind 8, 24 and 200 common bytes. */
export const someKey = fc
  .tuple(
    fc.constantFrom('', 'a', 'row:0000', 'a-prefix-of-more-than-24-bytes/', 'x'.repeat(200)),
    fc.uint8Array({ maxLength: 3 }),
  )
  .map(([prefix, rest]) => Buffer.concat([Buffer.from(prefix), rest.map((byte) => (byte < 128 ? byte % 3 : byte))]));

/** Few keys, of which there are then many versions. */
export const oneOfFewKeys = fc.constantFrom('', 'a', 'ab', 'b'.repeat(40)).map((text) => Buffer.from(text));

export const someValue = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.nat(700).map((size) => new Uint8Array(size).fill(size)) },
  { weight: 3, arbitrary: fc.constant(null) },
);

export const hex = (bytes: Uint8Array | null | undefined) => bytes && Buffer.from(bytes).toString('hex');

/** Key ascending, LSN descending. */
export function inOrder(a: Version, b: Version): number {
  return Buffer.compare(a.key, b.key) || b.lsn - a.lsn;
}

/** In order, without repeated (key, LSN). */
export function sorted(versions: readonly Version[]): Version[] {
  const byName = new Map(versions.map((version) => [`${hex(version.key)}@${version.lsn}`, version]));
  return [...byName.values()].sort(inOrder);
}

/** The version of a key that an LSN sees. */
export function seenBy(versions: readonly Version[], key: Uint8Array, lsn: number): Version | undefined {
  return sorted(versions).find((one) => Buffer.compare(one.key, key) === 0 && one.lsn <= lsn);
}

/** What a reader at an LSN gets from a range. */
export function entriesAt(
  versions: readonly Version[],
  lsn: number,
  { start, end }: { start?: Uint8Array; end?: Uint8Array } = {},
): string[] {
  const seen = sorted(versions.filter((version) => version.lsn <= lsn));
  const newest = seen.filter(({ key }, i) => i === 0 || Buffer.compare(seen[i - 1].key, key) !== 0);
  return newest
    .filter(({ key }) => (!start || Buffer.compare(key, start) >= 0) && (!end || Buffer.compare(key, end) < 0))
    .filter(({ value }) => value !== null)
    .map(({ key, value }) => `${hex(key)}=${hex(value)}`);
}

export const namesOf = (entries: readonly MergedEntry[]) =>
  entries.map(({ key, value }) => `${hex(key)}=${hex(value)}`);

/** Writes versions, which are in order, to blocks of their own slots; `entriesMax` makes them small. */
export function writeBlocks(
  memory: LsmMemory,
  writer: BlockWriter,
  versions: readonly Version[],
  entriesMax = Infinity,
): Block[] {
  const blocks: Block[] = [];
  const finish = () => {
    const finished = writer.finish();
    if (finished) blocks.push(copyBlock(memory, finished));
  };
  for (const { key, lsn, value } of versions) {
    if (writer.entryCount >= entriesMax) finish();
    if (writer.add(key, value, lsn)) continue;
    finish();
    if (!writer.add(key, value, lsn)) throw new Error('an entry does not fit into an empty block');
  }
  finish();
  return blocks;
}

export function copyBlock(memory: LsmMemory, finished: FinishedBlock): Block {
  const address = memory.slotAlloc();
  memory.write(address, memory.read(finished.address, finished.size));
  return { address, size: finished.size, finished };
}
