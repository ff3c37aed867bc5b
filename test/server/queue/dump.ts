/**
 * All that matters of a queue as plain data, so that two queues can be compared: everything but the deadlines, and the
 * numbers that only order things. Throws when the queue contradicts itself.
 */
import type { PartitionQueue } from '../../../server/queue/machine.ts';
import { holderAt, returnsAt } from '../../../server/queue/marks.ts';
import { chunkLength, type Page, type TaskPage } from '../../../server/queue/page.ts';
import { idAt, slotOf, type Slots } from '../../../server/queue/slots.ts';
import type { Claim, Task } from '../../../server/queue/state.ts';

export function dump(queue: PartitionQueue): unknown {
  const { slots, sealed, version, rowsAdmitted, evicted, arrivals, expiredRows } = queue;
  const claims = [...queue.claims.values()];
  expectRising([...queue.expired].map((claim) => claim.order));
  expectRising([...queue.ended].map(([, end]) => end.order));
  queue.leases.forEach((claim, at) => expect(claim.heapAt === at, `claim ${claim.claim} is lost in the heap`));
  const orphans = [...queue.orphans].sort(([a], [b]) => a - b);
  return {
    ...{ sealed, version, rowsAdmitted, evicted, arrivals },
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
    batches: Array.from(queue.batches.byOrder.values(), ({ claims: parts, ...batch }) => ({
      ...batch,
      parts: [...parts],
    })),
  };
}

function dumpPage(slots: Slots, page: Page): unknown {
  const { number, bits, runs, rows } = page;
  const live = slots.bitmaps.read(page.live, bits);
  const groups = Array.from(page.groups.subarray(0, runs), (group, run) => {
    let members = 0;
    for (let at = run * slots.groupSize; at < (run + 1) * slots.groupSize; at += 1) {
      if (((live[at >> 3] >> (at & 7)) & 1) === 0) continue;
      members += 1;
      const slot = number * slots.pageBits + at;
      const id = idAt(slots, page, at);
      expect(slotOf(slots, id) === slot, `row ${id} is not found in slot ${slot}`);
    }
    expect(slots.groupSize === 1 || page.members[run] === members, `group ${group} has ${members} rows`);
    return members === 0 ? 'gone' : group;
  });
  return {
    number,
    bits,
    runs,
    rows,
    groups,
    live: bitsOf(slots, page.live, bits),
    fields: Array.from(page.fields, ([field, bitmap]) => [field, bitsOf(slots, bitmap, bits)] as const).sort(
      ([a], [b]) => a - b,
    ),
    tags: Array.from(page.tags ?? []).flatMap((tags, at) => (tags === undefined ? [] : [[at, tags] as const])),
    numbers: page.numbers.flatMap((column, number) =>
      Array.from(column!).flatMap((value, at) => (Number.isNaN(value) ? [] : [[number, at, value]])),
    ),
    blobs: page.blobs.flatMap((column, field) =>
      Array.from(column!).flatMap((ref, at) => (ref === undefined ? [] : [[field, at, ref.digest]])),
    ),
    tasks: Array.from(page.tasks, (taskPage) => taskPage && dumpTaskPage(slots, page, taskPage)),
  };
}

/** No marks are marks of no row. */
function dumpTaskPage(slots: Slots, page: Page, taskPage: TaskPage): unknown {
  const { taken, takenRows, heldRows, deadRows } = taskPage;
  const marked: number[][] = [];
  for (let at = 0; at < page.bits; at += 1) {
    const mark = [holderAt(slots, taskPage, at), returnsAt(slots, taskPage, at)];
    if (mark.some((value) => value !== 0)) marked.push([at, ...mark]);
  }
  taskPage.marks.forEach((marks, chunk) => {
    if (marks === undefined) return;
    const isWhole = marks.holders.length === Math.min(chunkLength(slots.pageBits), page.bits);
    const held = marks.holders.filter((holder) => holder !== 0).length;
    const returned = marks.returns.filter((returns) => returns !== 0).length;
    const isCounted = held === marks.held && returned === marks.returned && held + returned > 0;
    expect(isWhole && isCounted, `chunk ${chunk} of the marks contradicts itself`);
  });
  expect(heldRows === marked.filter(([, holder]) => holder > 0).length, 'rows are held that nobody holds');
  return { taken: bitsOf(slots, taken, page.bits), takenRows, deadRows, marked };
}

/** The cursor says where a search may begin: any page is right before which no row is unclaimed. */
function dumpTask(queue: PartitionQueue, task: Task): unknown {
  const { name, index, leased, consumed, dead, skipped, fields, cursor } = task;
  for (const page of queue.slots.pages) {
    const isTaken = page.tasks[index]?.takenRows === page.rows;
    expect(page.number >= cursor || isTaken, `the cursor of ${name} is beyond page ${page.number}`);
  }
  return { name, index, leased, consumed, dead, skipped, fields: [...fields] };
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
