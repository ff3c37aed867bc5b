/** The heap of leases against a plain list. */
import { expect, test } from 'vitest';
import { dueLeases, moveLease, pushLease, removeLease, type Leased } from '../../../server/queue/leases.ts';

/** A small generator of numbers below n, the same each time. */
function createDice(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

test('after any changes the due leases are those of a sorted list', () => {
  const dice = createDice(1);
  const heap: Leased[] = [];
  const list: Leased[] = [];
  for (let claim = 1; claim <= 3_000; claim += 1) {
    const lease = { claim, deadlineMs: dice(500), heapAt: -1 };
    pushLease(heap, lease);
    list.push(lease);
    const other = list[dice(list.length)];
    if (dice(2) === 0) {
      other.deadlineMs = dice(500);
      moveLease(heap, other);
    } else if (dice(3) > 0) {
      removeLease(heap, other);
      expect(other.heapAt).toBe(-1);
      list.splice(list.indexOf(other), 1);
    }
    expect(heap.every((each, at) => each.heapAt === at)).toBe(true);
    if (claim % 50 > 0) continue;
    const now = dice(500);
    const due = list.filter((each) => each.deadlineMs <= now);
    due.sort((a, b) => a.deadlineMs - b.deadlineMs || a.claim - b.claim);
    expect(dueLeases(heap, now)).toEqual(due);
  }
  expect(list.length).toBeGreaterThan(100);
});
