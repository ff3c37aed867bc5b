/**
 * Mutants of good Arrow streams: the same seed and corpus give the same mutants.
 *
 * One to three changes each. Numbers are changed where numbers stand (at multiples of 4), and more often in metadata
 * and offsets than in values, since any value is a good value.
 */
import { encodeBatch } from '../../core/arrow/index.ts';
import type { FieldLayout } from '../../core/layout.ts';
import {
  columnName,
  everyLayout,
  joined,
  randomColumn,
  randomStream,
  readVector,
  seeded,
} from '../core/arrow/fixtures.ts';

type Random = (end: number) => number;
type Mutate = (bytes: Buffer, random: Random, corpus: readonly Uint8Array[]) => Buffer;

const interesting = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 64, 127, 128, 255, 256, -1, -2, -8, 0x7fffffff, -0x80000000, 0x10000,
];

/** A place at a multiple of `align`; every second time behind the schema, where offsets and sizes are. */
function place(bytes: Buffer, random: Random, align: number): number {
  const from = random(2) * Math.floor(0.6 * bytes.length);
  const end = Math.max(1, bytes.length - align - from);
  return Math.floor((from + random(end)) / align) * align;
}

const mutators: readonly Mutate[] = [
  function flipBit(bytes, random) {
    bytes[place(bytes, random, 1)] ^= 1 << random(8);
    return bytes;
  },
  function setByte(bytes, random) {
    bytes[place(bytes, random, 1)] = random(256);
    return bytes;
  },
  function setInt16(bytes, random) {
    bytes.writeInt16LE((interesting[random(interesting.length)] << 16) >> 16, place(bytes, random, 2));
    return bytes;
  },
  function setInt32(bytes, random) {
    bytes.writeInt32LE(interesting[random(interesting.length)], place(bytes, random, 4));
    return bytes;
  },
  function setInt64(bytes, random) {
    const at = place(bytes, random, 8);
    if (at + 8 <= bytes.length) bytes.writeBigInt64LE(BigInt(interesting[random(interesting.length)]), at);
    return bytes;
  },
  function nudgeInt32(bytes, random) {
    const at = place(bytes, random, 4);
    bytes.writeInt32LE((bytes.readInt32LE(at) + random(17) - 8) | 0, at);
    return bytes;
  },
  function copyInt32(bytes, random) {
    bytes.writeInt32LE(bytes.readInt32LE(place(bytes, random, 4)), place(bytes, random, 4));
    return bytes;
  },
  function changeDigit(bytes, random) {
    const at = bytes.indexOf('{', random(bytes.length));
    if (at >= 0 && at + 30 < bytes.length) bytes[at + random(30)] = '0123456789,[]{}": nul-.e'.charCodeAt(random(24));
    return bytes;
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, Math.max(8, random(bytes.length)));
  },
  function removeBlock(bytes, random) {
    const at = place(bytes, random, 8);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 8 * (1 + random(8)))]);
  },
  function repeatBlock(bytes, random) {
    const at = place(bytes, random, 8);
    return Buffer.concat([bytes.subarray(0, at + 8 * (1 + random(8))), bytes.subarray(at)]);
  },
  function splice(bytes, random, corpus) {
    const other = corpus[random(corpus.length)];
    const at = place(bytes, random, 8);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(Math.min(at, other.length))]);
  },
  function transplant(bytes, random, corpus) {
    const other = corpus[random(corpus.length)];
    const at = 8 * random(Math.max(1, Math.floor(other.length / 8)));
    const block = other.subarray(at, at + 8 * (1 + random(16)));
    bytes.set(block.subarray(0, bytes.length), place(bytes, random, 8) % Math.max(1, bytes.length - block.length + 1));
    return bytes;
  },
];

/** A small stream per layout, streams of several columns and batches, and pyarrow's of every layout at once. */
export function arrowCorpus(): Uint8Array<ArrayBuffer>[] {
  const random = seeded(101);
  const mixed: FieldLayout[] = [
    { layout: 'text' },
    { layout: 'ragged', dtype: 'int16', shape: [null, 2] },
    { layout: 'dense', dtype: 'float32', shape: [2, 2] },
    { layout: 'ragged', dtype: 'int8' },
    { layout: 'json' },
  ];
  const ids = [3, 1, 2];
  const small = everyLayout.map((layout, i) =>
    joined(encodeBatch(ids, [randomColumn(columnName(layout, i), layout, { rows: ids.length, random })])),
  );
  const several = [0, 1, 6].map((rows) => randomStream(mixed, { rows, random }));
  return [...small, ...several, ...several, readVector('accepted/ragged.arrow')];
}

/** Mutant number `i` of a run is made by one of the mutators, up to three times. */
export function mutantOf(corpus: readonly Uint8Array[], random: Random): Uint8Array<ArrayBuffer> {
  let bytes: Buffer = Buffer.from(corpus[random(corpus.length)]);
  for (let changes = 1 + Math.floor(random(5) / 3); changes > 0 && bytes.length >= 8; changes--) {
    bytes = mutators[random(mutators.length)](bytes, random, corpus);
  }
  return Uint8Array.from(bytes);
}
