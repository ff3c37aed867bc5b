/** Keys as bytes: their order, what comes next, and ranges of them. `end` is exclusive; null means no end. */

export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | null;
}

export const NO_KEY = new Uint8Array(0);

export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** The smallest key above a key. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Compares ends of ranges, of which null is the last. */
export function compareEnds(a: Uint8Array | null, b: Uint8Array | null): number {
  if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0);
  return compareKeys(a, b);
}

export function isEmpty({ start, end }: KeyRange): boolean {
  return end !== null && compareKeys(start, end) >= 0;
}

/** Sorted and disjoint: ranges that overlap or touch become one. */
export function joinRanges(ranges: readonly KeyRange[]): KeyRange[] {
  const joined: KeyRange[] = [];
  for (const range of ranges.filter((one) => !isEmpty(one)).sort((a, b) => compareKeys(a.start, b.start))) {
    const last = joined.at(-1);
    if (last === undefined || compareEnds(last.end, range.start) < 0) joined.push(range);
    else if (compareEnds(last.end, range.end) < 0) joined[joined.length - 1] = { start: last.start, end: range.end };
  }
  return joined;
}

/** What is left of a range without those of a sorted, disjoint list, in order. */
export function subtractRanges(range: KeyRange, holes: readonly KeyRange[]): KeyRange[] {
  const left: KeyRange[] = [];
  let { start } = range;
  for (const hole of holes) {
    if (hole.end !== null && compareKeys(hole.end, start) <= 0) continue;
    if (range.end !== null && compareKeys(hole.start, range.end) >= 0) break;
    if (compareKeys(hole.start, start) > 0) left.push({ start, end: hole.start });
    if (hole.end === null) return left;
    start = hole.end;
  }
  if (!isEmpty({ start, end: range.end })) left.push({ start, end: range.end });
  return left;
}
