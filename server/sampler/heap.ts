/**
 * A binary heap of positions in arrays of the caller, who says which of two comes before the other.
 *
 * Invariant: no entry comes before its parent, entries[(i - 1) / 2]; entries[0] comes before all others.
 */
export interface Heap {
  readonly entries: Int32Array;
  size: number;
  readonly isBefore: (a: number, b: number) => boolean;
}

export function createHeap(capacity: number, isBefore: Heap['isBefore']): Heap {
  return { entries: new Int32Array(capacity), size: 0, isBefore };
}

export function pushEntry(heap: Heap, entry: number): void {
  const { entries, isBefore } = heap;
  let at = heap.size;
  heap.size += 1;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (!isBefore(entry, entries[parent])) break;
    entries[at] = entries[parent];
    at = parent;
  }
  entries[at] = entry;
}

/** Takes the first out of a heap that is not empty. */
export function popFirst(heap: Heap): number {
  const first = heap.entries[0];
  heap.size -= 1;
  if (heap.size > 0) sink(heap, heap.entries[heap.size]);
  return first;
}

/** Takes the first out and puts another in, for the price of one. */
export function replaceFirst(heap: Heap, entry: number): void {
  sink(heap, entry);
}

function sink({ entries, size, isBefore }: Heap, entry: number): void {
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && isBefore(entries[child + 1], entries[child])) child += 1;
    if (!isBefore(entries[child], entry)) break;
    entries[at] = entries[child];
    at = child;
  }
  entries[at] = entry;
}
