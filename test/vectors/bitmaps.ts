/** The bitmap vectors, from an oracle that holds a page as a Set of slots. Pages are lists of [start, count] ranges. */

const PAGE_BITS = 65536;

export type Ranges = readonly (readonly [start: number, count: number])[];

export interface ScanCase {
  /** null stands for a page that does not exist: empty. */
  readonly and: readonly (Ranges | null)[];
  readonly not: readonly (Ranges | null)[];
  readonly from: number;
  readonly bits: number;
}

export function slotsOf(ranges: Ranges | null): Set<number> {
  const slots = new Set<number>();
  for (const [start, count] of ranges ?? []) for (let slot = start; slot < start + count; slot++) slots.add(slot);
  return slots;
}

/** All ready slots, as the definition of a scan reads. */
export function readyOf({ and, not, from, bits }: ScanCase): number[] {
  const ands = and.map(slotsOf);
  const nots = not.map(slotsOf);
  const ready = [];
  for (let slot = from; slot < bits; slot++) {
    if (ands.every((page) => page.has(slot)) && !nots.some((page) => page.has(slot))) ready.push(slot);
  }
  return ready;
}

/** Starts of the aligned groups that are all ready. */
export function groupsOf(scan: ScanCase, groupSize: number): number[] {
  const ready = new Set(readyOf(scan));
  const starts = [];
  for (let start = 0; start + groupSize <= scan.bits; start += groupSize) {
    let all = true;
    for (let slot = start; slot < start + groupSize && all; slot++) all = ready.has(slot);
    if (all) starts.push(start);
  }
  return starts;
}

const whole: Ranges = [[0, PAGE_BITS]];
const ends: Ranges = [
  [0, 3],
  [62, 4],
  [126, 5],
  [65530, 6],
];
const middle: Ranges = [[1000, 300]];

const SCANS: readonly (ScanCase & { groupSize: number; limit: number })[] = [
  { and: [whole], not: [], from: 0, bits: PAGE_BITS, groupSize: 8, limit: 5 },
  { and: [], not: [whole], from: 0, bits: PAGE_BITS, groupSize: 8, limit: 5 },
  { and: [], not: [], from: 65530, bits: PAGE_BITS, groupSize: 3, limit: 10 },
  { and: [whole, null], not: [], from: 0, bits: PAGE_BITS, groupSize: 1, limit: 10 },
  { and: [ends], not: [null], from: 0, bits: PAGE_BITS, groupSize: 2, limit: 100 },
  { and: [ends, whole], not: [[[63, 1]]], from: 1, bits: 65533, groupSize: 1, limit: 100 },
  { and: [middle], not: [[[1100, 1]]], from: 0, bits: PAGE_BITS, groupSize: 16, limit: 100 },
  { and: [middle], not: [], from: 1001, bits: 1290, groupSize: 100, limit: 100 },
  { and: [middle], not: [], from: 0, bits: 65520, groupSize: 7, limit: 1000 },
  { and: [whole], not: [[[0, 64]]], from: 0, bits: PAGE_BITS, groupSize: PAGE_BITS, limit: 1 },
  { and: [whole], not: [], from: 0, bits: PAGE_BITS, groupSize: PAGE_BITS, limit: 1 },
  { and: [whole], not: [], from: 128, bits: 128, groupSize: 8, limit: 9 },
  { and: [whole], not: [], from: 0, bits: PAGE_BITS, groupSize: 64, limit: 0 },
];

/** A page that slots are set in, then cleared in; duplicates count once. */
const CHANGES = [
  { set: [0, 1, 63, 64, 65535, 1], clear: [1, 2, 65535] },
  { set: [], clear: [5] },
  { set: [7, 7, 7], clear: [7, 7] },
];

function change({ set, clear }: { set: number[]; clear: number[] }) {
  const page = new Set(set);
  const added = page.size;
  const removed = [...new Set(clear)].filter((slot) => page.delete(slot)).length;
  return { set, clear, added, removed, left: [...page].sort((a, b) => a - b) };
}

export function bitmapVectors() {
  return {
    scans: SCANS.map((scan) => {
      const ready = readyOf(scan);
      const groups = groupsOf(scan, scan.groupSize).filter((start) => start >= scan.from);
      return { ...scan, count: ready.length, ready: ready.slice(0, scan.limit), groups: groups.slice(0, scan.limit) };
    }),
    changes: CHANGES.map(change),
  };
}
