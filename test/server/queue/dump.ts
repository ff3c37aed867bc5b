/**
 * All that matters of a queue as plain data, so that two queues can be compared: everything but the deadlines, and the
 * numbers that only order things. Throws when the queue contradicts itself.
 */
import { lookUp } from '../../../server/index/id_table.ts';
import type { PartitionQueue } from '../../../server/queue/machine.ts';
import type { Page, TaskPage } from '../../../server/queue/page.ts';
import type { Slots } from '../../../server/queue/slots.ts';
import type { Claim, Task } from '../../../server/queue/state.ts';

export function dump(queue: PartitionQueue): unknown {
  const { slots, sealed, expiredRows } = queue;
  const claims = [...queue.claims.values()];
  expectRising([...queue.expired].map((claim) => claim.order));
  expectRising([...queue.ended.values()].map((end) => end.order));
  queue.leases.forEach((claim, at) => expect(claim.heapAt === at, `claim ${claim.claim} is lost in the heap`));
  const orphans = [...queue.orphans].sort(([a], [b]) => a - b);
  return {
    sealed,
    groupSize: slots.groupSize,
    pageBits: slots.pageBits,
    pageNext: slots.pageNext,
    rows: slots.rows,
    fieldRows: [...slots.fieldRows].sort(([a], [b]) => a - b),
    groups: slots.table.size,
    pages: slots.pages.map((page) => dumpPage(slots, page)),
    tasks: Array.from(queue.tasks.values(), (task) => dumpTask(queue, task)),
    claims: claims.map(dumpClaim),
    leases: numbersOf(queue.leases).sort((a, b) => a - b),
    expired: numbersOf(queue.expired),
    expiredRows,
    ended: Array.from(queue.ended, ([claim, { how, task }]) => [claim, how, task.name]),
    orphans: orphans.map(([id, holders]) => [id, numbersOf(holders)]),
  };
}

function dumpPage(slots: Slots, page: Page): unknown {
  const { number, bits, runs, rows, members } = page;
  const groups = Array.from(page.groups.subarray(0, runs), (group, run) => {
    if (members[run] === 0) return 'gone';
    const slot = number * slots.pageBits + run * slots.groupSize;
    expect(lookUp(slots.table, group) === slot, `group ${group} is not found in slot ${slot}`);
    return group;
  });
  return {
    number,
    bits,
    runs,
    rows,
    groups,
    members: Array.from(members.subarray(0, runs)),
    live: bitsOf(slots, page.live, bits),
    fields: Array.from(page.fields, ([field, bitmap]) => [field, bitsOf(slots, bitmap, bits)] as const).sort(
      ([a], [b]) => a - b,
    ),
    tasks: Array.from(page.tasks, (taskPage) => taskPage && dumpTaskPage(slots, page, taskPage)),
  };
}

/** No marks are marks of no row. */
function dumpTaskPage(slots: Slots, page: Page, { taken, takenRows, heldRows, marks }: TaskPage): unknown {
  const marked: number[][] = [];
  for (let at = 0; marks !== undefined && at < page.bits; at += 1) {
    if (marks.holders[at] + marks.returns[at] > 0) marked.push([at, marks.holders[at], marks.returns[at]]);
  }
  expect(heldRows === marked.filter(([, holder]) => holder > 0).length, 'rows are held that nobody holds');
  return { taken: bitsOf(slots, taken, page.bits), takenRows, marked };
}

/** The cursor says where a search may begin: any page is right before which no row is unclaimed. */
function dumpTask(queue: PartitionQueue, task: Task): unknown {
  const { name, index, leased, consumed, fields, claims, cursor } = task;
  for (const page of queue.slots.pages) {
    const isTaken = page.tasks[index]?.takenRows === page.rows;
    expect(page.number >= cursor || isTaken, `the cursor of ${name} is beyond page ${page.number}`);
  }
  return { name, index, leased, consumed, fields: [...fields], claims: [...claims.keys()] };
}

function dumpClaim({ claim, task, requestId, slots, leaseMs, orphans, stale, heapAt, order }: Claim): unknown {
  const isLeased = heapAt >= 0;
  expect(isLeased === (order === 0), `claim ${claim} is neither leased nor expired`);
  const lost = [...orphans].sort((a, b) => a - b);
  return { claim, task: task.name, requestId, slots: [...slots], leaseMs, orphans: lost, stale, isLeased };
}

function bitsOf(slots: Slots, bitmap: number, bits: number): string {
  return Buffer.from(slots.bitmaps.read(bitmap, bits)).toString('hex');
}

function numbersOf(claims: Iterable<Claim>): number[] {
  return Array.from(claims, ({ claim }) => claim);
}

function expectRising(orders: readonly number[]): void {
  orders.forEach((order, i) => expect(i === 0 || order > orders[i - 1], `order ${order} is out of order`));
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
