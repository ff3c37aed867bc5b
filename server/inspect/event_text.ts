/** What an event says, in one line for people and as one object for programs. */
import { describeLayout } from '@transfer-queue/core/layout';
import type { BatchColumns, Extent, InsertEvent, JournalEvent } from '../journal/events.ts';
import { fieldsOfInsert, type Names } from './names.ts';
import { claimText, countText, idsText, namesText, plural } from './words.ts';

export function eventText(event: JournalEvent, names: Names): string {
  switch (event.type) {
    case 'descriptor': {
      const voided = event.voided.length === 0 ? '' : `, leaves out the puts ${idsText(event.voided)}`;
      return `run ${event.epoch}, format ${event.formatVersion}, boot ${event.bootId}${voided}`;
    }
    case 'declare': {
      const { fields, groupSize, ack, open } = event.settings;
      const layouts = namesText(fields.map(({ name, layout }) => `${name}: ${describeLayout(layout)}`));
      return [
        `ack ${ack}`,
        `groups of ${groupSize}`,
        ...(open ? ['open'] : []),
        ...(layouts === '' ? [] : [layouts]),
      ].join(', ');
    }
    case 'drop':
    case 'seal':
      return '';
    case 'insert':
      return insertText(event, names);
    case 'delete':
      return `rows ${idsText(event.ids)}`;
    case 'claim': {
      const fields = namesText(names.fields(event.partition, event.fields));
      const how = event.autoAck ? ', acked at once' : `, lease ${countText(event.leaseMs)} ms`;
      return (
        `claim ${claimText(event.claim)} of task ${event.task}: rows ${idsText(event.ids)}, fields ${fields}` + how
      );
    }
    case 'ack':
      return `claim ${claimText(event.claim)}`;
    case 'release':
      return `claim ${claimText(event.claim)} ${event.reason === 'expired' ? 'expired' : 'given back'}`;
    case 'checkpoint':
      return `the tree has all up to ${event.lsn}`;
    case 'move':
      return `put ${event.extent} from ${placeText(event.fromSegment, event.fromOffset)} to ${toText(event)}`;
    case 'rewrite': {
      const rows = idsOf(event.batches);
      const whose = `${plural(rows.length, 'row')} ${idsText(rows)}`;
      return `put ${event.fromExtent} anew with ${whose}, ${extentText(event.extent)}`;
    }
  }
}

function toText({ segment, offset }: { segment: number; offset: number }): string {
  return placeText(segment, offset);
}

function extentText({ length, ...place }: { segment: number; offset: number; length: number }): string {
  return `${countText(length)} bytes at ${toText(place)}`;
}

function idsOf(batches: readonly { readonly ids: Float64Array }[]): ArrayLike<number> {
  return batches.length === 1 ? batches[0].ids : batches.flatMap(({ ids }) => [...ids]);
}

function insertText(event: InsertEvent, names: Names): string {
  const { extent, batches, ackClaim } = event;
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const ids = idsText(idsOf(batches));
  const fields = namesText(names.fields(event.partition, fieldsOfInsert(event)));
  const acked = ackClaim === 0 ? '' : `, acks claim ${claimText(ackClaim)}`;
  return `${plural(rows, 'row')} ${ids}, fields ${fields}, ${extentText(extent)}${acked}`;
}

/** A place in a segment, as `segment:offset`. */
export function placeText(segment: number, offset: number): string {
  return `${segment}:${offset}`;
}

/** The event with names beside its numbers, and without what nobody looks at: keys, checksums, parts of columns. */
export function eventJson(event: JournalEvent, names: Names): Record<string, unknown> {
  const fieldNames = (columns: BatchColumns['columns']): string[] =>
    columns.map(({ field }) => ('partition' in event ? names.field(event.partition, field) : String(field)));
  switch (event.type) {
    case 'descriptor':
      return { format: event.formatVersion, epoch: event.epoch, boot_id: event.bootId, voided: [...event.voided] };
    case 'declare':
      return { settings: event.settings };
    case 'drop':
    case 'seal':
      return {};
    case 'insert': {
      const { extent, batches, ackClaim, requestId } = event;
      return {
        request_id: requestId,
        ack_claim: ackClaim,
        extent: extentJson(extent),
        batches: batches.map(({ ids, columns }) => ({ ids: [...ids], fields: fieldNames(columns) })),
      };
    }
    case 'rewrite':
      return {
        from_extent: event.fromExtent,
        extent: extentJson(event.extent),
        batches: event.batches.map(({ batch, ids, columns }) => {
          return { batch, ids: [...ids], fields: fieldNames(columns) };
        }),
      };
    case 'delete':
      return { request_id: event.requestId, ids: [...event.ids] };
    case 'claim': {
      const { task, claim, requestId, leaseMs, autoAck, ids, attempts } = event;
      const fields = names.fields(event.partition, event.fields);
      const rows = { fields, ids: [...ids], attempts: [...attempts] };
      return { request_id: requestId, task, claim, lease_ms: leaseMs, auto_ack: autoAck, ...rows };
    }
    case 'ack':
      return { request_id: event.requestId, claim: event.claim };
    case 'release':
      return { request_id: event.requestId, claim: event.claim, reason: event.reason };
    case 'checkpoint':
      return { checkpoint_lsn: event.lsn };
    case 'move': {
      const { extent, segment, offset, fromSegment, fromOffset } = event;
      return { extent, to: { segment, offset }, from: { segment: fromSegment, offset: fromOffset } };
    }
  }
}

function extentJson({ segment, offset, length }: Extent): Record<string, number> {
  return { segment, offset, length };
}
