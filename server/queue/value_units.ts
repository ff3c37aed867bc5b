/**
 * The values of the records of tags, numbers and names of blobs: runs of rows that have the same. Their grammar stands
 * in records.ts.
 *
 * Invariants: a value depends on what it says and not on the length of the page; a reader gives back what was written,
 * or throws a `FormatError`.
 */
import { BLOB_DIGEST_SIZE } from '@transfer-queue/core/protocol';
import { FormatError } from '../journal/bytes.ts';
import { NO_TAGS, patchedTags, TagError, type Tags } from '../sampler/merge_tags.ts';
import type { Json } from '../sampler/json.ts';
import type { BlobRef } from './blob_refs.ts';
import { VarintReader, type VarintWriter } from './varints.ts';

export interface TagsRun {
  readonly from: number;
  readonly to: number;
  readonly tags: Tags;
}

export interface NumbersRun {
  readonly from: number;
  readonly to: number;
  readonly value: number;
}

export interface BlobsRun {
  readonly from: number;
  readonly to: number;
  readonly digest: string;
}

/** Says whether any row has tags; otherwise there is nothing to write. */
export function writeTags(out: VarintWriter, tags: readonly (Tags | undefined)[], from: number, to: number): boolean {
  let end = from;
  for (let at = from; at < to;) {
    const one = tags[at];
    const start = at;
    for (at += 1; at < to && tags[at] === one;) at += 1;
    if (one === undefined) continue;
    out.number(start - end);
    out.number(at - start);
    out.text(JSON.stringify(one));
    end = at;
  }
  return end > from;
}

export function readTags(value: Uint8Array, from: number, to: number): TagsRun[] {
  const source = new VarintReader(value);
  const runs: TagsRun[] = [];
  for (let end = from; !source.done;) {
    const place = readPlace(source, end, to);
    runs.push({ ...place, tags: parseTags(source.text()) });
    end = place.to;
  }
  return runs;
}

/** Says whether any row has the number. */
export function writeNumbers(out: VarintWriter, column: Float64Array, from: number, to: number): boolean {
  let end = from;
  for (let at = from; at < to;) {
    const value = column[at];
    const start = at;
    for (at += 1; at < to && column[at] === value;) at += 1;
    if (Number.isNaN(value)) continue;
    out.number(start - end);
    out.number(at - start);
    doubleView.setFloat64(0, value, true);
    out.bytes(double);
    end = at;
  }
  return end > from;
}

export function readNumbers(value: Uint8Array, from: number, to: number): NumbersRun[] {
  const source = new VarintReader(value);
  const runs: NumbersRun[] = [];
  for (let end = from; !source.done;) {
    const place = readPlace(source, end, to);
    double.set(source.bytes(double.length));
    const number = doubleView.getFloat64(0, true);
    if (!Number.isFinite(number)) throw new FormatError(`the number ${number} of a row`);
    runs.push({ ...place, value: number });
    end = place.to;
  }
  return runs;
}

/** Says whether any cell names a blob. */
export function writeBlobs(
  out: VarintWriter,
  column: readonly (BlobRef | undefined)[],
  from: number,
  to: number,
): boolean {
  let end = from;
  for (let at = from; at < to;) {
    const ref = column[at];
    const start = at;
    for (at += 1; at < to && column[at] === ref;) at += 1;
    if (ref === undefined) continue;
    out.number(start - end);
    out.number(at - start);
    out.bytes(Buffer.from(ref.digest, 'hex'));
    end = at;
  }
  return end > from;
}

export function readBlobs(value: Uint8Array, from: number, to: number): BlobsRun[] {
  const source = new VarintReader(value);
  const runs: BlobsRun[] = [];
  for (let end = from; !source.done;) {
    const place = readPlace(source, end, to);
    runs.push({ ...place, digest: Buffer.from(source.bytes(BLOB_DIGEST_SIZE)).toString('hex') });
    end = place.to;
  }
  return runs;
}

const double = new Uint8Array(8);
const doubleView = new DataView(double.buffer);

/** The rows of the next run, which begins at `end` or behind it. */
function readPlace(source: VarintReader, end: number, to: number): { from: number; to: number } {
  const from = end + source.number();
  const rows = source.number();
  if (rows === 0 || from + rows > to) throw new FormatError(`values of ${rows} slots at ${from}`);
  return { from, to: from + rows };
}

/** Only tags that rows can have. */
function parseTags(text: string): Tags {
  try {
    const tags = patchedTags(JSON.parse(text) as Json);
    if (tags !== NO_TAGS && JSON.stringify(tags) === text) return tags;
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof TagError)) throw error;
  }
  throw new FormatError('tags that no row can have');
}
