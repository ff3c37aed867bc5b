/** An event as one object for programs: names beside its numbers, and nothing that nobody looks at, such as keys. */
import type { BatchColumns, ClaimEvent, Extent, InsertEvent, JournalEvent, RewriteEvent } from '../journal/events.ts';
import type { Names } from './names.ts';

export function eventJson(event: JournalEvent, names: Names): Record<string, unknown> {
  switch (event.type) {
    case 'descriptor':
      return { format: event.formatVersion, epoch: event.epoch, boot_id: event.bootId, voided: [...event.voided] };
    case 'declare':
      return { settings: event.settings };
    case 'drop':
    case 'seal':
      return {};
    case 'insert':
      return insertJson(event, names);
    case 'rewrite':
      return rewriteJson(event, names);
    case 'delete':
      return { request_id: event.requestId, ids: [...event.ids], reason: event.reason ?? 'asked' };
    case 'claim':
      return claimJson(event, names);
    case 'batch': {
      const { task, name, number, parts, outcome } = event;
      return { task, name, number, parts, outcome };
    }
    case 'ack':
      return { request_id: event.requestId, claim: event.claim };
    case 'release':
      return { request_id: event.requestId, claim: event.claim, reason: event.reason };
    case 'requeue':
      return { task: event.task, ids: [...event.ids] };
    case 'reset':
      return { request_id: event.requestId, task: event.task };
    case 'skip':
      return { task: event.task, fields: names.fields(event.partition, event.fields), ids: [...event.ids] };
    case 'tag':
      return { request_id: event.requestId, ids: [...event.ids], tags: event.tags };
    case 'advance':
      return { version: event.version };
    case 'restore':
      return { bytes: event.bytes.length, last: event.last };
    case 'adopt':
      return { pairs: event.pairs };
    case 'checkpoint':
      return { checkpoint_lsn: event.lsn };
    case 'move': {
      const { extent, segment, offset, fromSegment, fromOffset } = event;
      return { extent, to: { segment, offset }, from: { segment: fromSegment, offset: fromOffset } };
    }
  }
}

function claimJson(
  { partition, requestId, task, claim, leaseMs, autoAck, ...more }: ClaimEvent,
  names: Names,
): Record<string, unknown> {
  const rows = { fields: names.fields(partition, more.fields), ids: [...more.ids], attempts: [...more.attempts] };
  const batch = more.batch === undefined ? {} : { batch: more.batch };
  return { request_id: requestId, task, claim, lease_ms: leaseMs, auto_ack: autoAck, ...rows, ...batch };
}

function insertJson(
  { partition, requestId, ackClaim, extent, batches, tags, blobs = [] }: InsertEvent,
  names: Names,
): Record<string, unknown> {
  return {
    request_id: requestId,
    ack_claim: ackClaim,
    extent: extentJson(extent),
    batches: batches.map(({ ids, columns }) => ({ ids: [...ids], fields: fieldNames(partition, columns, names) })),
    ...(tags === undefined ? {} : { tags }),
    ...(blobs.length === 0 ? {} : { blobs: blobs.flatMap(({ digests }) => digests) }),
  };
}

function rewriteJson({ partition, fromExtent, extent, batches }: RewriteEvent, names: Names): Record<string, unknown> {
  return {
    from_extent: fromExtent,
    extent: extentJson(extent),
    batches: batches.map(({ batch, ids, columns }) => {
      return { batch, ids: [...ids], fields: fieldNames(partition, columns, names) };
    }),
  };
}

function fieldNames(partition: number, columns: BatchColumns['columns'], names: Names): string[] {
  return columns.map(({ field }) => names.field(partition, field));
}

function extentJson({ segment, offset, length }: Extent): Record<string, number> {
  return { segment, offset, length };
}
