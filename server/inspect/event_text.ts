/** What an event says, in one line for people. */
import { describeLayout } from '@transfer-queue/core/layout';
import type {
  AdoptEvent,
  ClaimEvent,
  InsertEvent,
  JournalEvent,
  PartitionSettings,
  ReleaseEvent,
} from '../journal/events.ts';
import { fieldsOfInsert, type Names } from './names.ts';
import { claimText, clipped, countText, idsText, namesText, plural } from './words.ts';

/** Characters of tags that are shown of one event. */
const TAGS_SHOWN_MAX = 120;

export function eventText(event: JournalEvent, names: Names): string {
  switch (event.type) {
    case 'descriptor': {
      const voided = event.voided.length === 0 ? '' : `, leaves out the puts ${idsText(event.voided)}`;
      return `run ${event.epoch}, format ${event.formatVersion}, boot ${event.bootId}${voided}`;
    }
    case 'declare':
      return settingsText(event.settings);
    case 'drop':
    case 'seal':
      return '';
    case 'insert':
      return insertText(event, names);
    case 'delete': {
      const why = { asked: '', released: ', consumed by all declared tasks', evicted: ', evicted' };
      return `rows ${idsText(event.ids)}${why[event.reason ?? 'asked']}`;
    }
    case 'claim': {
      const fields = namesText(names.fields(event.partition, event.fields));
      const rows = `rows ${idsText(event.ids)}, fields ${fields}`;
      return `claim ${claimText(event.claim)} of task ${event.task}: ${rows}${claimedHow(event)}`;
    }
    case 'batch': {
      const why = event.outcome === 'drained' ? 'drained' : 'no rows in time';
      const parts = plural(event.parts, 'part');
      return `batch ${event.number} of ${event.name}, task ${event.task}: ${why}, for all ${parts}`;
    }
    case 'ack':
      return `claim ${claimText(event.claim)}`;
    case 'release':
      return `claim ${claimText(event.claim)} ${releaseText(event.reason)}`;
    case 'requeue':
      return `task ${event.task} tries its dead letters anew: rows ${idsText(event.ids)}`;
    case 'reset':
      return `task ${event.task} begins anew with all rows`;
    case 'skip': {
      const fields = namesText(names.fields(event.partition, event.fields));
      return `task ${event.task} passes rows ${idsText(event.ids)} for good, fields ${fields}`;
    }
    case 'tag': {
      const what = event.tags.length === 1 ? clipped(event.tags[0], TAGS_SHOWN_MAX) : 'each its own tags';
      return `rows ${idsText(event.ids)}: ${what}`;
    }
    case 'advance':
      return `version ${countText(event.version)}`;
    case 'restore':
      return `${plural(event.bytes.length, 'byte')} of a saved state${event.last ? ', the last' : ''}`;
    case 'adopt':
      return event.pairs.map(adoptedText).join(', ');
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

function adoptedText({ partition, name, replaced }: AdoptEvent['pairs'][number]): string {
  return `partition ${partition} is ${name} now${replaced === 0 ? '' : `, in place of partition ${replaced}`}`;
}

/** How a claim came to its end without an ack. */
export function releaseText(reason: ReleaseEvent['reason']): string {
  return { released: 'given back', expired: 'expired', undelivered: 'given back, since nobody got its rows' }[reason];
}

/** `, acked at once` or `, lease 30,000 ms`, and of which shared batch. */
export function claimedHow({ autoAck, leaseMs, batch }: ClaimEvent): string {
  const how = autoAck ? ', acked at once' : `, lease ${countText(leaseMs)} ms`;
  if (batch === undefined) return how;
  return `${how}, part ${batch.part + 1} of ${batch.parts} of batch ${batch.number} of ${batch.name}`;
}

/** Only what differs from a partition that declares nothing. */
function settingsText({ ack, groupSize, open, fields, numbers, tasks, release, ...more }: PartitionSettings): string {
  const { rowsMax, bytesMax, pace, retention } = more;
  const taskTexts = (tasks ?? []).map(({ name, maxAttempts }) =>
    maxAttempts === undefined ? name : `${name} (${plural(maxAttempts, 'attempt')})`,
  );
  const kept = [
    ...(retention?.rowsMax === undefined ? [] : [plural(retention.rowsMax, 'row')]),
    ...(retention?.ageMsMax === undefined ? [] : [`${countText(retention.ageMsMax)} ms`]),
  ];
  return [
    `ack ${ack}`,
    `groups of ${groupSize}`,
    ...(open ? ['open'] : []),
    ...(fields.length === 0 ? [] : [namesText(fields.map(({ name, layout }) => `${name}: ${describeLayout(layout)}`))]),
    ...(taskTexts.length === 0 ? [] : [`tasks ${namesText(taskTexts)}`]),
    ...(release === 'consumed' ? ['releases consumed rows'] : []),
    ...(numbers === undefined || numbers.length === 0 ? [] : [`numbers ${namesText(numbers)}`]),
    ...(rowsMax === undefined ? [] : [`at most ${plural(rowsMax, 'row')}`]),
    ...(bytesMax === undefined ? [] : [`at most ${plural(bytesMax, 'byte')}`]),
    ...(pace === undefined
      ? []
      : [`${plural(pace.rowsPerVersion, 'row')} a version, ${countText(pace.maxAhead)} ahead`]),
    ...(kept.length === 0 ? [] : [`keeps consumed rows up to ${kept.join(' or ')}`]),
  ].join(', ');
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
  const tagged = event.tags?.filter((tags) => tags !== '').length ?? 0;
  const tags = tagged === 0 ? '' : `, tags of ${plural(tagged, 'row')}`;
  const acked = ackClaim === 0 ? '' : `, acks claim ${claimText(ackClaim)}`;
  return `${plural(rows, 'row')} ${ids}, fields ${fields}${tags}, ${extentText(extent)}${acked}`;
}

/** A place in a segment, as `segment:offset`. */
export function placeText(segment: number, offset: number): string {
  return `${segment}:${offset}`;
}
