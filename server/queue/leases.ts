/**
 * Live leases by deadline: a binary heap in which every claim knows its place, so that ack and renew cost O(log n).
 *
 * Invariants: heap[i] is not due before heap[(i - 1) / 2]; heap[i].heapAt === i; -1 for a claim that is not in it.
 */
export interface Leased {
  readonly claim: number;
  deadlineMs: number;
  heapAt: number;
}

export function pushLease<Claim extends Leased>(heap: Claim[], claim: Claim): void {
  heap.push(claim);
  rise(heap, claim, heap.length - 1);
}

export function removeLease<Claim extends Leased>(heap: Claim[], claim: Claim): void {
  const last = heap.pop()!;
  const at = claim.heapAt;
  claim.heapAt = -1;
  if (last === claim) return;
  rise(heap, last, at);
  sink(heap, last, last.heapAt);
}

/** Restores the order after the deadline of `claim` moved. */
export function moveLease<Claim extends Leased>(heap: Claim[], claim: Claim): void {
  rise(heap, claim, claim.heapAt);
  sink(heap, claim, claim.heapAt);
}

/** The claims due at `now`, in the order of their deadlines; costs O(due), as only due claims have due children. */
export function dueLeases<Claim extends Leased>(heap: readonly Claim[], now: number): Claim[] {
  const due: Claim[] = [];
  const open = [0];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at >= heap.length || heap[at].deadlineMs > now) continue;
    due.push(heap[at]);
    open.push(2 * at + 1, 2 * at + 2);
  }
  return due.sort((a, b) => (isBefore(a, b) ? -1 : 1));
}

function isBefore(a: Leased, b: Leased): boolean {
  return a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.claim < b.claim);
}

function rise<Claim extends Leased>(heap: Claim[], claim: Claim, from: number): void {
  let at = from;
  while (at > 0) {
    const parent = (at - 1) >>> 1;
    if (!isBefore(claim, heap[parent])) break;
    heap[at] = heap[parent];
    heap[at].heapAt = at;
    at = parent;
  }
  heap[at] = claim;
  claim.heapAt = at;
}

function sink<Claim extends Leased>(heap: Claim[], claim: Claim, from: number): void {
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
    if (!isBefore(heap[child], claim)) break;
    heap[at] = heap[child];
    heap[at].heapAt = at;
    at = child;
  }
  heap[at] = claim;
  claim.heapAt = at;
}
