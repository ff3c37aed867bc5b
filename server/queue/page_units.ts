/**
 * The values of the records of pages: groups, bitmaps, marks. Their grammar stands in records.ts.
 *
 * Invariants: a value depends on what it says and not on the length of the page; a reader gives back what was written,
 * or throws a `FormatError`.
 */
import { FormatError } from '../journal/bytes.ts';
import { DEAD, type Marks } from './page.ts';
import { VarintReader, type VarintWriter } from './varints.ts';

const bitmapForms = { bytes: 0, runs: 1 } as const;

/** Groups come mostly one after the other, and mostly there is one step between them. */
export function writeGroups(out: VarintWriter, groups: Float64Array, from: number, to: number): void {
  let before = 0;
  for (let run = from; run < to;) {
    const step = groups[run] - before;
    let repeats = 0;
    for (; run < to && groups[run] - before === step; run += 1) {
      before = groups[run];
      repeats += 1;
    }
    out.signed(step);
    out.number(repeats);
  }
}

/** At most so many groups, up to `groupMax`. */
export function readGroups(value: Uint8Array, countMax: number, groupMax: number): number[] {
  const source = new VarintReader(value);
  const groups: number[] = [];
  let group = 0;
  while (!source.done) {
    const step = source.signed();
    const repeats = source.number();
    if (repeats === 0 || repeats > countMax - groups.length) throw new FormatError(`${repeats} groups of one step`);
    for (let i = 0; i < repeats; i += 1) {
      group += step;
      if (group < 0 || group > groupMax) throw new FormatError(`group ${group}`);
      groups.push(group);
    }
  }
  return groups;
}

/** As runs of equal bits when these are shorter than the bytes. */
export function writeBitmap(out: VarintWriter, bytes: Uint8Array): void {
  let size = bytes.length;
  while (size > 0 && bytes[size - 1] === 0) size -= 1;
  const start = out.length;
  out.u8(bitmapForms.runs);
  if (writeBitRuns(out, bytes.subarray(0, size))) return;
  out.cut(start);
  out.u8(bitmapForms.bytes);
  out.bytes(bytes.subarray(0, size));
}

/** A bitmap of `bits`, of which the first `used` may be ones. */
export function readBitmap(value: Uint8Array, bits: number, used: number): Uint8Array {
  const source = new VarintReader(value);
  const bytes = new Uint8Array(Math.ceil(bits / 8));
  const form = source.u8();
  if (form === bitmapForms.runs) readBitRuns(source, bytes, used);
  else if (form === bitmapForms.bytes) readBitBytes(source, bytes, used);
  else throw new FormatError(`a bitmap of form ${form}`);
  return bytes;
}

export function writeMarks(out: VarintWriter, { holders, returns }: Pick<Marks, 'holders' | 'returns'>): void {
  let end = 0;
  let holderBefore = 0;
  for (let at = 0; at < holders.length;) {
    const holder = holders[at];
    const count = returns[at];
    const start = at;
    for (at += 1; at < holders.length && holders[at] === holder && returns[at] === count;) at += 1;
    if (holder === 0 && count === 0) continue;
    out.number(start - end);
    out.number(at - start);
    out.signed(holder - holderBefore);
    out.number(count);
    end = at;
    holderBefore = holder;
  }
}

export interface MarksRun {
  readonly from: number;
  readonly to: number;
  readonly holder: number;
  readonly returns: number;
}

export function readMarks(value: Uint8Array, from: number, to: number): MarksRun[] {
  const source = new VarintReader(value);
  const runs: MarksRun[] = [];
  let end = from;
  let holder = 0;
  while (!source.done) {
    const start = end + source.number();
    const length = source.number();
    holder += source.signed();
    const returns = source.number();
    if (length === 0 || start + length > to) throw new FormatError(`marks of ${length} slots at ${start}`);
    if (!(holder >= DEAD && holder <= Number.MAX_SAFE_INTEGER)) throw new FormatError(`held by claim ${holder}`);
    if (holder === 0 && returns === 0) throw new FormatError('marks that mark nothing');
    const before = runs.at(-1);
    const isSame = before?.to === start && before.holder === holder && before.returns === returns;
    if (isSame) throw new FormatError('one run of marks in two parts');
    end = start + length;
    runs.push({ from: start, to: end, holder, returns });
  }
  return runs;
}

/** Numbers of zeros and ones, by turns, up to the last one. False once they need more bytes than the bitmap. */
function writeBitRuns(out: VarintWriter, bytes: Uint8Array): boolean {
  const lengthMax = out.length + bytes.length;
  let value = 0;
  let start = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i];
    // A bit of `flips` is one where the bitmap differs from the bit before.
    for (let flips = (byte ^ ((byte << 1) | value)) & 0xff; flips !== 0; flips &= flips - 1) {
      const at = i * 8 + 31 - Math.clz32(flips & -flips);
      out.number(at - start);
      start = at;
    }
    value = byte >> 7;
    if (out.length > lengthMax) return false;
  }
  if (value === 1) out.number(bytes.length * 8 - start);
  return out.length <= lengthMax;
}

function readBitRuns(source: VarintReader, bytes: Uint8Array, bits: number): void {
  for (let at = 0; !source.done;) {
    const zeros = source.number();
    const ones = source.number();
    if ((zeros === 0 && at > 0) || ones === 0) throw new FormatError('a run of no bits');
    at += zeros + ones;
    if (at > bits) throw new FormatError(`a bitmap of more than ${bits} bits`);
    setRange(bytes, at - ones, at);
  }
}

function readBitBytes(source: VarintReader, bytes: Uint8Array, bits: number): void {
  const found = source.restBytes();
  if (found.length > bytes.length) throw new FormatError(`a bitmap of ${found.length} bytes`);
  const last = found.length === 0 ? 0 : found[found.length - 1];
  if (last === 0) throw new FormatError('a bitmap that ends with zeros');
  if (found.length * 8 - (Math.clz32(last) - 24) > bits) throw new FormatError(`a bitmap of more than ${bits} bits`);
  bytes.set(found);
}

function setRange(bytes: Uint8Array, from: number, to: number): void {
  let at = from;
  for (; at < to && at % 8 !== 0; at += 1) bytes[at >> 3] |= 1 << (at & 7);
  const wholeEnd = Math.max(at, to - (to % 8));
  bytes.fill(0xff, at >> 3, wholeEnd >> 3);
  for (at = wholeEnd; at < to; at += 1) bytes[at >> 3] |= 1 << (at & 7);
}
