/**
 * Reads: rows by ids, by range, or the newest; one cell; what is known of one row. A read may wait for what is missing.
 */
import { StoreError } from '../errors.ts';
import { machine } from '../queue/machine.ts';
import { locate, type Located } from '../store/locate.ts';
import type { Field, Partition } from '../store/partition.ts';
import type { Caller, ReadCommand, ReadOutcome, Selection } from './commands.ts';
import type { Node } from './node.ts';
import { lsnToRead } from './snapshots.ts';

/** Ids that an error names; the rest is counted. */
const IDS_NAMED_MAX = 16;

export function read(node: Node, command: ReadCommand, caller: Caller): Promise<ReadOutcome> {
  const partition = node.partition(command.partition);
  if (command.lsn !== undefined) return readAt(node, partition, { ...command, lsn: command.lsn });
  const fields = fieldsOf(partition, command.fields);
  switch (command.select.by) {
    case 'ids':
      return readIds(node, partition, { ids: command.select.ids, fields, waitMs: command.waitMs }, caller);
    case 'range':
      return readRange(node, partition, command.select, fields);
    case 'newest':
      return readNewest(node, partition, { afterLsn: command.select.afterLsn, fields, waitMs: command.waitMs }, caller);
  }
}

/** Rows of the state of one LSN. There is nothing to wait for: what was missing then never comes. */
async function readAt(
  node: Node,
  partition: Partition,
  { select, fields: names, waitMs, lsn }: ReadCommand & { readonly lsn: number },
): Promise<ReadOutcome> {
  if (select.by === 'newest') throw new StoreError('json_invalid', { reason: 'newest takes no lsn' });
  if (waitMs > 0) throw new StoreError('json_invalid', { reason: 'a read at an LSN waits for nothing' });
  const fields = names === null ? partition.fields.filter((field) => field.lsn <= lsn) : fieldsOf(partition, names);
  const { state, journal } = node.parts;
  const past: Past = { partition, fields, lsn };
  const outcome = await state.store.snapshots.reading(lsn, () =>
    select.by === 'ids' ? idsAt(node, past, select.ids) : rangeAt(node, past, select),
  );
  await journal.settled(partition.settings.ack);
  return outcome;
}

/** What is read of a former state. */
interface Past {
  readonly partition: Partition;
  readonly fields: readonly Field[];
  readonly lsn: number;
}

async function idsAt(node: Node, past: Past, ids: Float64Array): Promise<ReadOutcome> {
  const cells = await locateAt(node, past, ids);
  if (cells.missing.length === 0) return { kind: 'rows', located: cells, next: null };
  cells.close();
  throw rowsMissing(past.partition, idsMissing(cells));
}

/** Rows that lacked one of the fields are passed over. */
async function rangeAt(node: Node, past: Past, range: RangeSelection): Promise<ReadOutcome> {
  const { partition, lsn } = past;
  const rowsMax = range.rowsMax + 1;
  const ids = await partition.index.scan({ ...range, rowsMax, lsn: lsnToRead(node.parts, partition, lsn) });
  const next = ids.length > range.rowsMax ? ids[range.rowsMax] : null;
  const page = ids.slice(0, range.rowsMax);
  const cells = await locateAt(node, past, page);
  if (cells.missing.length === 0) return { kind: 'rows', located: cells, next };
  cells.close();
  const missing = new Set(cells.missing);
  const whole = page.filter((_, row) => !missing.has(row));
  return { kind: 'rows', located: await locateAt(node, past, whole), next };
}

/** Each step of a read asks anew whether its state can still be had. */
function locateAt(node: Node, { partition, fields, lsn }: Past, ids: Float64Array): Promise<Located> {
  if (partition.dropped) throw new StoreError('partition_unknown', { dropped: true });
  return locate(node.parts.state.store, partition, { ids, fields, lsn: lsnToRead(node.parts, partition, lsn) });
}

type RangeSelection = Extract<Selection, { by: 'range' }>;

export function fieldsOf(partition: Partition, names: readonly string[] | null): readonly Field[] {
  if (names === null) return partition.fields;
  return names.map((name) => {
    const field = partition.fieldsByName.get(name);
    if (field === undefined) throw new StoreError('field_unknown', { partition: partition.settings.name, field: name });
    return field;
  });
}

interface WantedRows {
  readonly ids: Float64Array;
  readonly fields: readonly Field[];
  readonly waitMs: number;
}

function readIds(node: Node, partition: Partition, wanted: WantedRows, caller: Caller): Promise<ReadOutcome> {
  const { ids, fields, waitMs } = wanted;
  const queue = node.parts.state.queue(partition);
  const fieldIds = fields.map((field) => field.id);
  const missing = (): Float64Array => ids.filter((id) => !machine.rowHas(queue, id, fieldIds));
  const attempt = (): Promise<ReadOutcome> | null => {
    const lacking = missing();
    if (lacking.length === 0) return located(node, partition, ids, fields);
    const hopeless = queue.sealed && lacking.some((id) => machine.rowStatus(queue, id) === undefined);
    return hopeless && waitMs > 0 ? drained(node, partition) : null;
  };
  const first = attempt();
  if (first !== null) return first;
  if (waitMs === 0) return Promise.reject(rowsMissing(partition, missing()));
  return new Promise((resolve, reject) => {
    const parked = {
      ids,
      fields: fieldIds,
      attempt: () => {
        const result = attempt();
        result?.then(resolve, reject);
        return result !== null;
      },
      refuse: reject,
    };
    const onTimeout = (): void => resolve({ kind: 'timed_out', details: missingDetails(missing()) });
    node.waits.parkRead(partition, parked, { waitMs, caller, onTimeout });
  });
}

/** Once the seal is committed: a crash must not take back what ended a reader. */
async function drained(node: Node, partition: Partition): Promise<ReadOutcome> {
  await node.parts.journal.settled(partition.settings.ack);
  return { kind: 'drained' };
}

function missingDetails(ids: Float64Array): Record<string, unknown> {
  return { missing: [...ids.slice(0, IDS_NAMED_MAX)], missing_count: ids.length };
}

function rowsMissing(partition: Partition, ids: Float64Array): StoreError {
  return new StoreError('rows_missing', { partition: partition.settings.name, ...missingDetails(ids) });
}

function idsMissing({ ids, missing }: Located): Float64Array {
  return Float64Array.from(missing, (row) => ids[row]);
}

/** The cells as they are in this turn; the answer waits until all of them are committed. */
async function located(
  node: Node,
  partition: Partition,
  ids: Float64Array,
  fields: readonly Field[],
  next: number | null = null,
): Promise<ReadOutcome> {
  const cells = await locate(node.parts.state.store, partition, { ids, fields });
  if (cells.missing.length > 0) throw rowsMissing(partition, idsMissing(cells));
  await node.parts.journal.settled(partition.settings.ack);
  return { kind: 'rows', located: cells, next };
}

/** Rows that lack one of the fields are passed over. */
async function readRange(
  node: Node,
  partition: Partition,
  range: RangeSelection,
  fields: readonly Field[],
): Promise<ReadOutcome> {
  const ids = await partition.index.scan({ ...range, rowsMax: range.rowsMax + 1 });
  if (partition.dropped) throw new StoreError('partition_unknown', { dropped: true });
  const queue = node.parts.state.queue(partition);
  const fieldIds = fields.map((field) => field.id);
  const next = ids.length > range.rowsMax ? ids[range.rowsMax] : null;
  const page = ids.slice(0, range.rowsMax).filter((id) => machine.rowHas(queue, id, fieldIds));
  return located(node, partition, page, fields, next);
}

interface WantedNewest {
  readonly afterLsn: number;
  readonly fields: readonly Field[];
  readonly waitMs: number;
}

/**
 * Looks at the newest row, and again after each put of one of the fields, until it is newer than what the caller knows.
 */
async function readNewest(
  node: Node,
  partition: Partition,
  wanted: WantedNewest,
  caller: Caller,
): Promise<ReadOutcome> {
  const { afterLsn, fields, waitMs } = wanted;
  const { clock } = node.parts.env;
  const deadlineMs = clock.nowMs() + waitMs;
  const details = { after_lsn: afterLsn };
  for (;;) {
    if (partition.dropped) throw new StoreError('partition_unknown', { dropped: true });
    const lsnSeen = partition.lsn;
    const id = machine.newestRow(
      node.parts.state.queue(partition),
      fields.map((field) => field.id),
    );
    if (id !== undefined) {
      const outcome = await located(node, partition, Float64Array.of(id), fields);
      if (outcome.kind !== 'rows' || outcome.located.lsn > afterLsn) return outcome;
      outcome.located.close();
    }
    if (waitMs === 0) throw new StoreError('rows_missing', { partition: partition.settings.name, ...details });
    if (partition.lsn !== lsnSeen) continue;
    const leftMs = deadlineMs - clock.nowMs();
    if (leftMs <= 0 || !(await putOf(node, partition, { fields, waitMs: leftMs }, caller)))
      return { kind: 'timed_out', details };
  }
}

/** Resolves to true at the next put that brings one of the fields, to false at the deadline. */
function putOf(
  node: Node,
  partition: Partition,
  wanted: Omit<WantedNewest, 'afterLsn'>,
  caller: Caller,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const attempt = (): boolean => {
      resolve(true);
      return true;
    };
    const parked = { fields: wanted.fields.map((field) => field.id), attempt, refuse: reject };
    node.waits.parkNewest(partition, parked, { waitMs: wanted.waitMs, caller, onTimeout: () => resolve(false) });
  });
}

/** One cell, kept until the caller closes it. */
export async function readCell(node: Node, place: { partition: string; id: number; field: string }): Promise<Located> {
  const partition = node.partition(place.partition);
  const outcome = await located(node, partition, Float64Array.of(place.id), fieldsOf(partition, [place.field]));
  if (outcome.kind !== 'rows') throw rowsMissing(partition, Float64Array.of(place.id));
  return outcome.located;
}

/** Where one row stands: its fields with LSN and bytes of their put, and each task's view of it. */
export async function rowStatus(
  node: Node,
  place: { partition: string; id: number },
): Promise<Record<string, unknown>> {
  const partition = node.partition(place.partition);
  const status = machine.rowStatus(node.parts.state.queue(partition), place.id);
  if (status === undefined) throw rowsMissing(partition, Float64Array.of(place.id));
  const present = status.fields.map((field) => partition.fields[field]);
  const cells = await locate(node.parts.state.store, partition, { ids: Float64Array.of(place.id), fields: present });
  try {
    const fields = cells.columns.map(({ field, batches }) => {
      const batch = cells.batches[batches[0]];
      const { lsn, extent } = batch;
      const { length, place } = extent;
      const { segment, offset } = place;
      return [field.name, { lsn, put_bytes: length, put_rows: batch.rows, segment: segment.id, offset }] as const;
    });
    const tasks = status.tasks.map(({ task, state, returns }) => {
      // A dead letter has no attempt but those that ended.
      return [task, { state, attempt: state === 'dead' ? returns : returns + 1 }] as const;
    });
    await node.parts.journal.settled(partition.settings.ack);
    return { id: place.id, fields: Object.fromEntries(fields), tasks: Object.fromEntries(tasks) };
  } finally {
    cells.close();
  }
}
