/**
 * The values of a queue's own records: header, tasks, claims. Their grammar stands in records.ts.
 *
 * Invariant: a reader gives back what was written, or throws a `FormatError`.
 */
import { ID_END } from '@transfer-queue/core/protocol';
import { FormatError } from '../journal/bytes.ts';
import type { Arrival, Header } from './changes.ts';
import type { ClaimEnd } from './ended_claims.ts';
import type { Claim, EndedClaim, Task } from './state.ts';
import { VarintReader, type VarintWriter } from './varints.ts';

export const QUEUE_FORMAT_VERSION = 2;
/** Of queues that did not count what came and went. */
const VERSION_WITHOUT_COUNTS = 1;

export const claimStates = { leased: 0, broken: 1, expired: 2, acked: 3, released: 4, stale: 5 } as const;

export interface SavedHeader extends Header {
  readonly groupSize: number;
  readonly pageBits: number;
}

/** A claim that is known, leased or expired, or how one ended. */
export type SavedClaim = { readonly task: number } & (
  | { readonly kind: 'known'; readonly claim: Omit<Claim, 'claim' | 'task' | 'deadlineMs' | 'heapAt'> }
  | { readonly kind: 'ended'; readonly how: ClaimEnd; readonly order: number }
);

export function writeHeader(out: VarintWriter, header: SavedHeader): void {
  out.u8(QUEUE_FORMAT_VERSION);
  out.number(header.groupSize);
  out.number(header.pageBits);
  out.u8(header.sealed ? 1 : 0);
  out.number(header.pageNext);
  out.number(header.version);
  out.number(header.rowsAdmitted);
  out.number(header.evicted);
  out.number(header.arrivals.length);
  for (const { slotEnd, firstMs, lastMs } of header.arrivals) {
    out.number(slotEnd);
    out.number(firstMs);
    out.number(lastMs - firstMs);
  }
}

/** Of a queue that did not count, the rows that came are as many as it has: `rowsAdmitted` is 0 here. */
export function readHeader(value: Uint8Array): SavedHeader {
  const source = new VarintReader(value);
  const format = source.u8();
  if (format < VERSION_WITHOUT_COUNTS || format > QUEUE_FORMAT_VERSION)
    throw new FormatError(`a queue of format ${format}`);
  const groupSize = source.number();
  const pageBits = source.number();
  const sealed = source.u8();
  if (sealed > 1) throw new FormatError(`sealed is ${sealed}`);
  const pageNext = source.number();
  if (pageNext * pageBits > Number.MAX_SAFE_INTEGER) throw new FormatError(`${pageNext} pages`);
  const counts = format === VERSION_WITHOUT_COUNTS ? NO_COUNTS : readCounts(source, pageNext * pageBits);
  source.end();
  return { groupSize, pageBits, sealed: sealed === 1, pageNext, ...counts };
}

type Counts = Pick<Header, 'version' | 'rowsAdmitted' | 'evicted' | 'arrivals'>;

const NO_COUNTS: Counts = { version: 0, rowsAdmitted: 0, evicted: 0, arrivals: [] };

function readCounts(source: VarintReader, slotEnd: number): Counts {
  const version = source.number();
  const rowsAdmitted = source.number();
  const evicted = source.number();
  const count = source.number();
  const arrivals: Arrival[] = [];
  for (let i = 0; i < count; i += 1) {
    const before = arrivals.at(-1);
    const slot = source.number();
    const firstMs = source.number();
    const arrival = { slotEnd: slot, firstMs, lastMs: firstMs + source.number() };
    const isRising = before === undefined || (before.slotEnd <= slot && before.lastMs <= firstMs);
    if (!isRising || slot > slotEnd) throw new FormatError(`arrivals up to slot ${slot} at ${firstMs}`);
    arrivals.push(arrival);
  }
  return { version, rowsAdmitted, evicted, arrivals };
}

type SavedTask = Pick<Task, 'name' | 'fields' | 'skipped'>;

/** Most tasks skip nothing, and older ones could not. */
export function writeTask(out: VarintWriter, task: SavedTask): void {
  out.text(task.name);
  out.number(task.fields.length);
  for (const field of task.fields) out.number(field);
  if (task.skipped > 0) out.number(task.skipped);
}

export function readTask(value: Uint8Array): SavedTask {
  const source = new VarintReader(value);
  const name = source.text();
  const count = source.number();
  const fields: number[] = [];
  for (let i = 0; i < count; i += 1) fields.push(source.number());
  if (source.done) return { name, fields, skipped: 0 };
  const skipped = source.number();
  source.end();
  if (skipped === 0) throw new FormatError('a task that skipped no rows, and says so');
  return { name, fields, skipped };
}

export function writeClaim(out: VarintWriter, claim: Claim, leased: boolean): void {
  out.u8(claim.stale ? claimStates.broken : leased ? claimStates.leased : claimStates.expired);
  out.number(claim.task.index);
  if (!leased) out.number(claim.order);
  out.number(claim.leaseMs);
  out.text(claim.requestId);
  out.list(claim.slots);
  if (!claim.stale) out.list(Float64Array.from(claim.orphans).sort());
}

export function writeEnd(out: VarintWriter, end: EndedClaim): void {
  out.u8(claimStates[end.how]);
  out.number(end.task.index);
  out.number(end.order);
}

/** Slots must be below `slotEnd`. */
export function readClaim(value: Uint8Array, slotEnd: number): SavedClaim {
  const source = new VarintReader(value);
  const state = source.u8();
  const task = source.number();
  const how = (['acked', 'released', 'stale'] as const).find((end) => claimStates[end] === state);
  if (how === undefined && state > claimStates.expired) throw new FormatError(`a claim in state ${state}`);
  const hasOrder = how !== undefined || state === claimStates.expired;
  const order = hasOrder ? source.number() : 0;
  if (hasOrder && order === 0) throw new FormatError('an end or an expiry without an order');
  if (how !== undefined) {
    source.end();
    return { kind: 'ended', task, how, order };
  }
  const leaseMs = source.number();
  const requestId = source.text();
  const slots = source.list(slotEnd);
  const stale = state === claimStates.broken;
  const orphans = stale ? [] : Array.from(source.list(ID_END));
  source.end();
  return { kind: 'known', task, claim: { requestId, slots, leaseMs, orphans, stale, order } };
}
