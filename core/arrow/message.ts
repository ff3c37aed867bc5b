/**
 * Writes the messages of a stream: schema, record batch, end of stream.
 *
 * The metadata of a record batch is one fixed shape, so it is written in place, with no builder (n nodes, b buffers):
 *
 *     0  i32 -1 | i32 metadata size = 80 + 16 (n + b)                    frame
 *     8  u32 -> 24                                                       root
 *    12  u16 12, 20, 16, 18, 4, 8                                        vtable of Message
 *    24  i32 12 | u32 header -> 56 | i64 bodyLength | i16 V5 | u8 record batch type | pad
 *    44  u16 10, 20, 8, 4, 16 | pad                                      vtable of RecordBatch
 *    56  i32 12 | u32 nodes -> 76 | i64 rows | u32 buffers -> 84 + 16 n
 *    76  u32 n | n x {i64 length, i64 null count = 0}
 *  80 + 16 n   pad | u32 b | b x {i64 offset, i64 length}
 *
 * Invariants: every message is a multiple of 8 bytes; hosts are little-endian (as are all that run JavaScript).
 */
import { INDEX_COLUMN } from '../protocol.ts';
import { buildFlatbuffer } from './builder.ts';
import type { Slot, TableData } from './builder.ts';
import { arrowFieldOfLayout } from './field.ts';
import type { ArrowField } from './field.ts';
import { CONTINUATION, FRAME_SIZE, HeaderType, NODE_SIZE, REGION_SIZE, TypeId } from './format.ts';
import { VERSION_V5, floatBits, pad8 } from './format.ts';
import type { NamedLayout } from './schema.ts';

const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** The end of a stream. */
export const EOS: Uint8Array = new Uint8Array(new Int32Array([CONTINUATION, 0]).buffer);

/** The schema message of a stream that begins with index_id. Callers keep it per set of fields. */
export function schemaMessage(fields: readonly NamedLayout[], metadata = NO_METADATA): Uint8Array {
  const index: ArrowField = {
    name: INDEX_COLUMN,
    type: { kind: 'int', bits: 64, signed: true },
    children: [],
    metadata: NO_METADATA,
  };
  const columns = [index, ...fields.map(({ name, layout }) => arrowFieldOfLayout(name, layout))];
  const schema: TableData = [null, { kind: 'tables', tables: columns.map(fieldTable) }, keyValues(metadata)];
  const flatbuffer = buildFlatbuffer([
    { kind: 'i16', value: VERSION_V5 },
    { kind: 'u8', value: HeaderType.schema },
    { kind: 'table', slots: schema },
  ]);
  const size = flatbuffer.length + pad8(flatbuffer.length);
  const message = new Uint8Array(FRAME_SIZE + size);
  new Int32Array(message.buffer, 0, 2).set([CONTINUATION, size]);
  message.set(flatbuffer, FRAME_SIZE);
  return message;
}

function keyValues(metadata: ReadonlyMap<string, string>): Slot | null {
  if (metadata.size === 0) return null;
  const tables = [...metadata].map(([key, value]): TableData => [
    { kind: 'string', text: key },
    { kind: 'string', text: value },
  ]);
  return { kind: 'tables', tables };
}

/**
 * Fields are nullable, as pyarrow's are by default, so that tables of both can be concatenated; no field holds a
 * null.
 */
function fieldTable(field: ArrowField): TableData {
  const [typeId, type] = typeTable(field);
  return [
    { kind: 'string', text: field.name },
    { kind: 'u8', value: 1 },
    { kind: 'u8', value: typeId },
    { kind: 'table', slots: type },
    null,
    { kind: 'tables', tables: field.children.map(fieldTable) },
    keyValues(field.metadata),
  ];
}

function typeTable({ name, type }: ArrowField): [typeId: number, slots: TableData] {
  switch (type.kind) {
    case 'int':
      return [
        TypeId.int,
        [
          { kind: 'i32', value: type.bits },
          { kind: 'u8', value: type.signed ? 1 : 0 },
        ],
      ];
    case 'float':
      return [TypeId.float, [{ kind: 'i16', value: floatBits.indexOf(type.bits) }]];
    case 'fixed_size_list':
      return [TypeId.fixedSizeList, [{ kind: 'i32', value: type.size }]];
    case 'other':
      throw new TypeError(`column ${name}: no layout is written as ${type.name}`);
    default:
      return [TypeId[type.kind], []];
  }
}

/** Everything of a record batch before its first node. */
const HEAD_SIZE = 80;

/** Bytes of a record batch message without its body. */
export function batchMessageSize(nodeCount: number, bufferCount: number): number {
  return HEAD_SIZE + 8 + NODE_SIZE * nodeCount + REGION_SIZE * bufferCount;
}

export interface BatchHead {
  readonly rows: number;
  /** Length of each node. */
  readonly nodes: ArrayLike<number>;
  /** [offset, length] of each buffer, relative to the body. */
  readonly regions: ArrayLike<number>;
  readonly bodyLength: number;
}

/** A record batch message without its body. */
export function batchMessage(head: BatchHead): Uint8Array {
  const words = new Int32Array(batchMessageSize(head.nodes.length, head.regions.length / 2) / 4);
  writeBatchMessage(words, 0, head);
  return new Uint8Array(words.buffer);
}

const u16s = (low: number, high: number): number => low | (high << 16);

/** Writes the message at word `at` of `words`; every word of it is written, whatever was there. */
export function writeBatchMessage(words: Int32Array, at: number, head: BatchHead): void {
  const nodeCount = head.nodes.length;
  const bufferCount = head.regions.length / 2;
  words[at] = CONTINUATION;
  words[at + 1] = batchMessageSize(nodeCount, bufferCount) - FRAME_SIZE;
  words[at + 2] = 16;
  words[at + 3] = u16s(12, 20);
  words[at + 4] = u16s(16, 18);
  words[at + 5] = u16s(4, 8);
  words[at + 6] = 12;
  words[at + 7] = 28;
  setInt64(words, at + 8, head.bodyLength);
  words[at + 10] = u16s(VERSION_V5, HeaderType.recordBatch);
  words[at + 11] = u16s(10, 20);
  words[at + 12] = u16s(8, 4);
  words[at + 13] = u16s(16, 0);
  words[at + 14] = 12;
  words[at + 15] = 16;
  setInt64(words, at + 16, head.rows);
  words[at + 18] = 12 + 16 * nodeCount;
  words[at + 19] = nodeCount;
  let next = at + HEAD_SIZE / 4;
  for (let i = 0; i < nodeCount; i++, next += 4) {
    setInt64(words, next, head.nodes[i]);
    setInt64(words, next + 2, 0);
  }
  words[next] = 0;
  words[next + 1] = bufferCount;
  next += 2;
  for (let i = 0; i < 2 * bufferCount; i++, next += 2) setInt64(words, next, head.regions[i]);
}

/** Stores into an Int32Array take a number modulo 2^32, so the low word needs no arithmetic. */
function setInt64(words: Int32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = Math.floor(value / 0x100000000);
}
