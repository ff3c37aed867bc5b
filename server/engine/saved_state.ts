/**
 * A partition without its cells, as bytes that a checkpoint of users keeps: settings, ids of the rows by their fields,
 * and the records of the queue (their grammar: queue/records.ts).
 *
 *    0  "TQSTATE\n"      8  u32 size of the header       12  header, JSON padded with spaces to a multiple of 8
 *    .  ids, i64 each, list after list as the header has them
 *    .  records, each u32 size, key, u32 size, value
 *    .  u64 checksum of all before, as of the body of a put
 *
 *   header  {"format":1,"partition","lsn","settings","sets":[{"fields":[names],"rows"}],"records"}
 *
 * Numbers are little-endian. Clients read header and ids; what is behind is the server's own.
 * Invariant: what is read is whole and was written by `encodeState`, or a `FormatError` says what it is not.
 * Both are work in steps: a state may have gigabytes.
 */
import { parseLayout } from '@transfer-queue/core/layout';
import { ackLevels, limits, NAME_PATTERN, releaseRules, TAG_NAME_PATTERN } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/schema';
import type { Steps } from '../env/slice.ts';
import { StoreError } from '../errors.ts';
import { ByteReader, ByteWriter, FormatError } from '../journal/bytes.ts';
import type { PartitionSettings } from '../journal/events.ts';
import type { WholeRecord } from '../queue/machine.ts';
import { changeQueueSettings } from './queue_settings.ts';

export const STATE_FORMAT = 1;
const MAGIC = Buffer.from('TQSTATE\n', 'latin1');
const HASH_SIZE = 8;
const ID_SIZE = 8;
/** Hashed or written in one step. */
const STEP_SIZE = 1 << 18;
/** Records that are read in one step. */
const RECORDS_PER_STEP = 1_024;

export interface SavedState {
  readonly partition: string;
  readonly lsn: number;
  readonly settings: PartitionSettings;
  readonly records: readonly WholeRecord[];
}

/** Rows that have the same fields, some ids after the others. */
export interface SavedRows {
  readonly fields: readonly string[];
  readonly ids: readonly Float64Array[];
}

export function* encodeState(core: Core, state: SavedState, rows: readonly SavedRows[]): Steps<Buffer[]> {
  const sets = rows.map(({ fields, ids }) => ({ fields, rows: ids.reduce((sum, { length }) => sum + length, 0) }));
  const { partition, lsn, settings, records } = state;
  const header = { format: STATE_FORMAT, partition, lsn, settings, sets, records: records.length };
  const json = Buffer.from(JSON.stringify(header));
  const before = MAGIC.length + 4;
  const size = Math.ceil((before + json.length) / 8) * 8 - before;
  const head = Buffer.alloc(before + size, ' ');
  head.set(MAGIC);
  head.writeUInt32LE(size, MAGIC.length);
  head.set(json, before);
  const parts: Buffer[] = [head];
  for (const ids of rows.flatMap((one) => one.ids)) {
    parts.push(int64s(ids));
    yield;
  }
  const out = new ByteWriter();
  for (const [place, { key, value }] of records.entries()) {
    out.bytes(key);
    out.bytes(value);
    if (out.length < STEP_SIZE && place < records.length - 1) continue;
    parts.push(Buffer.from(out.view()));
    out.reset();
    yield;
  }
  return [...parts, yield* hashOf(core, parts)];
}

/** Throws a `FormatError`, or a `StoreError` for settings that no partition may have. */
export function* decodeState(core: Core, bytes: Buffer): Steps<SavedState> {
  const end = bytes.length - HASH_SIZE;
  const start = MAGIC.length + 4;
  if (end < start || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new FormatError('no state of a partition');
  const hash = yield* hashOf(core, [bytes.subarray(0, end)]);
  if (!hash.equals(bytes.subarray(end))) throw new FormatError('its checksum differs');
  const headerEnd = start + bytes.readUInt32LE(MAGIC.length);
  if (headerEnd > end) throw new FormatError('its header is too long');
  const header = headerOf(bytes.toString('utf8', start, headerEnd));
  const rows = header.sets.reduce((sum, set) => sum + set.rows, 0);
  const recordsAt = headerEnd + ID_SIZE * rows;
  if (recordsAt > end) throw new FormatError('it has too many rows');
  const records = yield* recordsOf(bytes.subarray(recordsAt, end));
  if (records.length !== header.records) throw new FormatError(`it has ${records.length} records`);
  const { partition, lsn, settings } = header;
  return { partition, lsn, settings: checked(settings as PartitionSettings), records };
}

const count = Type.Integer({ minimum: 1 });
const name = Type.String({ pattern: NAME_PATTERN });
const words = (list: readonly string[]) => Type.Union(list.map((word) => Type.Literal(word)));

const Settings = Type.Object(
  {
    name,
    fields: Type.Array(Type.Object({ name, layout: Type.Unknown() }), { maxItems: limits.columnsMax }),
    open: Type.Boolean(),
    groupSize: Type.Integer({ minimum: 1, maximum: limits.groupSizeMax }),
    ack: words(ackLevels.filter((level) => level !== 'memory')),
    tasks: Type.Optional(
      Type.Array(
        Type.Object({
          name,
          maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.attemptsMax })),
        }),
        { maxItems: limits.tasksPerPartitionMax },
      ),
    ),
    release: Type.Optional(words(releaseRules)),
    numbers: Type.Optional(
      Type.Array(Type.String({ pattern: TAG_NAME_PATTERN }), { maxItems: limits.numbersPerPartitionMax }),
    ),
    rowsMax: Type.Optional(count),
    bytesMax: Type.Optional(count),
    pace: Type.Optional(Type.Object({ rowsPerVersion: count, maxAhead: Type.Integer({ minimum: 0 }) })),
    retention: Type.Optional(Type.Object({ rowsMax: Type.Optional(count), ageMsMax: Type.Optional(count) })),
  },
  { additionalProperties: false },
);

const Header = Type.Object({
  format: Type.Literal(STATE_FORMAT),
  partition: name,
  lsn: Type.Integer({ minimum: 0 }),
  settings: Settings,
  sets: Type.Array(Type.Object({ fields: Type.Array(name), rows: count })),
  records: Type.Integer({ minimum: 0 }),
});

function headerOf(text: string): Static<typeof Header> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw new FormatError('its header is not JSON');
  }
  const format = (header as { format?: unknown } | null)?.format;
  if (format !== STATE_FORMAT) throw new FormatError(`format ${String(format)} is none of ours`);
  if (Check(Header, header)) return header;
  const [, [{ instancePath, message }]] = Errors(Header, header);
  throw new FormatError(`its header has at ${instancePath}: ${message}`);
}

/** What a declaration would refuse, a load refuses too. */
function checked(settings: PartitionSettings): PartitionSettings {
  const names = new Set(settings.fields.map((field) => field.name));
  if (names.size < settings.fields.length) throw new StoreError('name_invalid', { reason: 'a field occurs twice' });
  const fields = settings.fields.map((field) => {
    const layout = parseLayout(field.layout);
    if (typeof layout === 'string') throw new StoreError('layout_invalid', { field: field.name, reason: layout });
    return { name: field.name, layout };
  });
  const { tasks = [], numbers = [] } = settings;
  return changeQueueSettings({ ...settings, fields }, { tasks, numbers });
}

function int64s(ids: Float64Array): Buffer {
  const bytes = Buffer.allocUnsafe(ID_SIZE * ids.length);
  for (let i = 0; i < ids.length; i++) {
    bytes.writeUInt32LE(ids[i] % 2 ** 32, ID_SIZE * i);
    bytes.writeUInt32LE(Math.floor(ids[i] / 2 ** 32), ID_SIZE * i + 4);
  }
  return bytes;
}

/** Views of the bytes. */
function* recordsOf(bytes: Buffer): Steps<WholeRecord[]> {
  const source = new ByteReader(bytes);
  const records: WholeRecord[] = [];
  while (!source.done) {
    records.push({ key: source.view(), value: source.view() });
    if (records.length % RECORDS_PER_STEP === 0) yield;
  }
  return records;
}

function* hashOf(core: Core, parts: readonly Uint8Array[]): Steps<Buffer> {
  const hasher = core.bodyHasher();
  for (const part of parts) {
    for (let at = 0; at < part.length; at += STEP_SIZE) {
      hasher.update(part.subarray(at, at + STEP_SIZE));
      yield;
    }
  }
  return Buffer.from(hasher.finish());
}
