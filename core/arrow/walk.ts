/**
 * Walks an Arrow IPC stream from outside, copying no values: schema, record batches, end of stream, nothing after it.
 *
 *   stream   schema message | 1..1024 record batch messages | end of stream      (see format.ts)
 *
 * Accepted is what the project's writers and pyarrow, arrow-rs and arrow-js write for the types of field.ts: format
 * V5, little-endian, uncompressed, without dictionaries and nulls. All else is refused, and nothing that pyarrow's
 * `validate(full=True)` refuses is accepted. Text is checked to be UTF-8; JSON text is not parsed, since the server
 * never looks into it and parsing at ~200 MB/s would stall its loop.
 *
 * Invariants: no byte outside `stream` is read; work and memory are linear in its size; positions are plain numbers and
 * never meet a bit operator, which would wrap at 2 GiB.
 */
import { limits } from '../protocol.ts';
import { readBatch } from './batch.ts';
import type { WalkedBatch } from './batch.ts';
import { Flatbuffer } from './flatbuffer.ts';
import type { Table } from './flatbuffer.ts';
import { CONTINUATION, FRAME_SIZE, HeaderType, MessageSlot, VERSION_V5 } from './format.ts';
import { malformed, refusable, refuse } from './refusal.ts';
import type { ArrowRefusal } from './refusal.ts';
import { readKeyValue, readSchema } from './schema.ts';
import type { NamedLayout, SchemaCache, StreamSchema } from './schema.ts';

export interface WalkOptions {
  /** Where to keep parsed schemas between calls. */
  readonly schemas?: SchemaCache;
  /** Allows the columns that only answers have (`tq_...`). A cache must not be shared between both ways. */
  readonly allowReserved?: boolean;
}

export interface WalkedStream {
  readonly ok: true;
  /** The columns without index_id, in the order of the stream. */
  readonly fields: readonly NamedLayout[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly batches: readonly WalkedBatch[];
}

interface Message {
  readonly metadataStart: number;
  readonly bodyStart: number;
  readonly bodyLength: number;
  readonly headerType: number;
  readonly header: Table;
}

/** `stream` must start at a multiple of 8 of its ArrayBuffer, and hold the stream exactly (no checksum tail). */
export function walkStream(stream: Uint8Array, options: WalkOptions = {}): WalkedStream | ArrowRefusal {
  if (stream.byteOffset % 8 !== 0) throw new RangeError('an Arrow stream must start at a multiple of 8');
  return refusable(() => walk(stream, options));
}

function walk(stream: Uint8Array, options: WalkOptions): WalkedStream {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const first = readMessage(view, 0) ?? malformed('the stream has no schema');
  if (first.headerType !== HeaderType.schema || first.bodyLength !== 0)
    malformed('the stream does not begin with a schema');
  const schema = schemaOf(stream, first, options);
  const batches: WalkedBatch[] = [];
  let at = first.bodyStart;
  for (;;) {
    const message = readMessage(view, at);
    if (message === null) break;
    const { bodyStart, bodyLength } = message;
    if (message.headerType === HeaderType.dictionaryBatch)
      refuse('dictionary_refused', 'the stream holds dictionaries');
    if (message.headerType !== HeaderType.recordBatch) malformed('the stream holds a message that is no record batch');
    if (batches.length === limits.putBatchesMax) {
      refuse('too_many_batches', `the stream has more than ${limits.putBatchesMax} record batches`);
    }
    batches.push(readBatch(message.header, schema, { stream, view, bodyStart, bodyLength }));
    at = bodyStart + bodyLength;
  }
  if (batches.length === 0) malformed('the stream has no record batch; write at least one, of 0 rows if need be');
  const surplus = stream.byteLength - at - FRAME_SIZE;
  if (surplus !== 0) malformed(`${surplus} bytes follow the end of the stream`);
  return { ok: true, fields: schema.fields, metadata: schema.metadata, batches };
}

function schemaOf(stream: Uint8Array, message: Message, options: WalkOptions): StreamSchema {
  const read = (): StreamSchema => readSchema(message.header, options.allowReserved ?? false);
  const metadata = stream.subarray(message.metadataStart, message.bodyStart);
  return options.schemas === undefined ? read() : options.schemas.get(metadata, read);
}

/** The message that starts at `at`, whole and within the stream; null at the end of the stream. */
function readMessage(view: DataView, at: number): Message | null {
  const size = view.byteLength;
  if (at + FRAME_SIZE > size) truncated('before its end-of-stream mark');
  if (view.getInt32(at, true) !== CONTINUATION) malformed('a message does not begin with a continuation mark', { at });
  const metadataSize = view.getInt32(at + 4, true);
  if (metadataSize === 0) return null;
  if (metadataSize < 0 || metadataSize % 8 !== 0) malformed('the metadata of a message has an invalid size', { at });
  if (metadataSize > limits.metadataBytesMax) {
    refuse('metadata_too_large', `a message has ${metadataSize} bytes of metadata`, { limit: limits.metadataBytesMax });
  }
  const metadataStart = at + FRAME_SIZE;
  const bodyStart = metadataStart + metadataSize;
  if (bodyStart > size) truncated('within the metadata of a message');
  const root = new Flatbuffer(view, metadataStart, bodyStart).root();
  if (root.i16(MessageSlot.version) !== VERSION_V5) malformed('the stream is not of metadata version V5', { at });
  // Custom metadata of messages is checked and dropped.
  root.tables(MessageSlot.metadata, readKeyValue);
  const bodyLength = root.size64(MessageSlot.bodyLength);
  if (bodyLength % 8 !== 0) malformed('the body of a message is not padded to a multiple of 8', { at });
  if (bodyStart + bodyLength > size) truncated('within the body of a message');
  const header = root.table(MessageSlot.header) ?? malformed('a message has no header', { at });
  return { metadataStart, bodyStart, bodyLength, headerType: root.u8(MessageSlot.headerType), header };
}

function truncated(where: string): never {
  return refuse('arrow_truncated', `the stream ends ${where}`);
}
