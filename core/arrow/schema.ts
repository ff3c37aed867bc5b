/**
 * Reads a schema message: Arrow's fields become columns with layouts, or the whole stream is refused.
 *
 * Invariants: column names are unique and fit the grammar; exactly one is `index_id`; names that begin with `tq_` occur
 * only where the caller allows them (in answers), but for the text of `tq_tags`. A cached schema is one whose metadata
 * bytes are the same.
 */
import { INDEX_COLUMN, NAME_PATTERN, RESERVED_PREFIX, TAGS_COLUMN, limits } from '../protocol.ts';
import type { FieldLayout } from '../layout.ts';
import { flatFootprint, footprint, layoutOfArrowField, sumOfFootprints } from './field.ts';
import type { ArrowField, ArrowType, Footprint } from './field.ts';
import type { Table } from './flatbuffer.ts';
import { FieldSlot, FixedSizeListSlot, FloatSlot, IntSlot, KeyValueSlot, SchemaSlot } from './format.ts';
import { TypeId, floatBits, otherTypes } from './format.ts';
import { malformed, refuse } from './refusal.ts';

export interface NamedLayout {
  readonly name: string;
  readonly layout: FieldLayout;
}

export interface StreamSchema {
  /** All columns in the order of the stream; null stands for index_id. */
  readonly columns: readonly (NamedLayout | null)[];
  /** The same without index_id. */
  readonly fields: readonly NamedLayout[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly size: Footprint;
}

const namePattern = new RegExp(NAME_PATTERN);

export function readSchema(table: Table, allowReserved: boolean): StreamSchema {
  if (table.i16(SchemaSlot.endianness) !== 0) malformed('the stream is big-endian; write it little-endian');
  const reader = { fieldsLeft: limits.columnsMax };
  const arrowFields = table.tables(SchemaSlot.fields, (field) => readField(field, 1, reader));
  const metadata = new Map(table.tables(SchemaSlot.metadata, readKeyValue));
  table.vector(SchemaSlot.features, 8);
  const names = new Set<string>();
  const columns: (NamedLayout | null)[] = [];
  for (const field of arrowFields) {
    checkName(field.name, allowReserved);
    if (names.has(field.name)) refuse('name_invalid', `column ${field.name} occurs twice`, { column: field.name });
    names.add(field.name);
    const column = field.name === INDEX_COLUMN ? null : { name: field.name, layout: layoutOfArrowField(field) };
    if (column === null) checkIndexColumn(field);
    else if (column.name === TAGS_COLUMN) checkTagsColumn(column.layout);
    columns.push(column);
  }
  if (!names.has(INDEX_COLUMN)) refuse('index_id_invalid', `the stream has no column ${INDEX_COLUMN}`);
  const size = sumOfFootprints(columns.map((column) => (column === null ? flatFootprint : footprint(column.layout))));
  return { columns, fields: columns.filter((column) => column !== null), metadata, size };
}

function checkName(name: string, allowReserved: boolean): void {
  const column = name.slice(0, 128);
  if (!namePattern.test(name))
    refuse('name_invalid', `column name ${JSON.stringify(column)} does not fit the grammar`, { column });
  if (name.startsWith(RESERVED_PREFIX) && name !== TAGS_COLUMN && !allowReserved) {
    refuse('name_invalid', `column ${column}: names that begin with ${RESERVED_PREFIX} are reserved`, { column });
  }
}

function checkIndexColumn({ type, metadata }: ArrowField): void {
  const isInt64 = type.kind === 'int' && type.bits === 64 && type.signed;
  if (!isInt64 || metadata.has('ARROW:extension:name')) {
    refuse('index_id_invalid', `column ${INDEX_COLUMN} must be a plain int64`, { type: type.kind });
  }
}

function checkTagsColumn({ layout }: FieldLayout): void {
  if (layout === 'text' || layout === 'json') return;
  refuse('type_unsupported', `column ${TAGS_COLUMN} must be utf8`, { column: TAGS_COLUMN });
}

/** An entry of custom metadata; both halves must be there. */
export function readKeyValue(table: Table): [key: string, value: string] {
  const absent = (): never => malformed('Arrow metadata has a key without a value, or a value without a key');
  return [table.string(KeyValueSlot.key) ?? absent(), table.string(KeyValueSlot.value) ?? absent()];
}

function readField(table: Table, depth: number, reader: { fieldsLeft: number }): ArrowField {
  if (depth > limits.nestingMax) refuse('nesting_too_deep', `the schema nests deeper than ${limits.nestingMax}`);
  if (reader.fieldsLeft-- === 0) {
    refuse('too_many_columns', `the schema has more than ${limits.columnsMax} fields, children included`);
  }
  const name = table.string(FieldSlot.name) ?? '';
  if (table.has(FieldSlot.dictionary)) {
    refuse('dictionary_refused', `column ${name.slice(0, 128)} is dictionary-encoded; decode it first`);
  }
  const pairs = table.tables(FieldSlot.metadata, readKeyValue);
  const metadata = new Map(pairs);
  if (metadata.size !== pairs.length) malformed(`column ${name.slice(0, 128)} repeats a metadata key`);
  const children = table.tables(FieldSlot.children, (child) => readField(child, depth + 1, reader));
  const type = readType(table);
  // Nothing is null whatever this says; it is read because all that is there must lie within its table.
  table.u8(FieldSlot.nullable);
  const childCount = type.kind === 'list' || type.kind === 'fixed_size_list' ? 1 : 0;
  if (type.kind !== 'struct' && type.kind !== 'other' && children.length !== childCount) {
    malformed(`column ${name.slice(0, 128)} of type ${type.kind} has ${children.length} children`);
  }
  return { name, type, children, metadata };
}

function readType(field: Table): ArrowType {
  const id = field.u8(FieldSlot.typeType);
  const table = field.table(FieldSlot.type) ?? malformed('Arrow metadata has a field without a type');
  switch (id) {
    case TypeId.int: {
      const bits = table.i32(IntSlot.bits);
      if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) malformed(`Arrow has no integers of ${bits} bits`);
      return { kind: 'int', bits, signed: table.u8(IntSlot.signed) !== 0 };
    }
    case TypeId.float: {
      const bits = floatBits[table.i16(FloatSlot.precision)];
      return bits === undefined ? malformed('Arrow has no such floating point precision') : { kind: 'float', bits };
    }
    case TypeId.utf8:
      return { kind: 'utf8' };
    case TypeId.binary:
      return { kind: 'binary' };
    case TypeId.list:
      return { kind: 'list' };
    case TypeId.struct:
      return { kind: 'struct' };
    case TypeId.fixedSizeList:
      return { kind: 'fixed_size_list', size: table.i32(FixedSizeListSlot.size) };
    default: {
      const other = otherTypes[id];
      if (other === undefined) malformed('Arrow metadata names an unknown type');
      return { kind: 'other', name: other[0], instead: other[1] };
    }
  }
}

/** Keeps the schemas of the last streams, since the puts of one producer repeat the same bytes. One per door. */
export class SchemaCache {
  readonly #entries = new Map<number, { readonly bytes: Uint8Array; readonly schema: StreamSchema }>();
  readonly #entriesMax: number;

  constructor(entriesMax = 256) {
    this.#entriesMax = entriesMax;
  }

  /** The schema of this metadata; `read` makes it where it is not kept. Large metadata is never kept. */
  get(metadata: Uint8Array, read: () => StreamSchema): StreamSchema {
    if (metadata.length > SchemaCache.bytesMax) return read();
    const hash = hashOf(metadata);
    const kept = this.#entries.get(hash);
    if (kept !== undefined) this.#entries.delete(hash);
    const entry =
      kept !== undefined && sameBytes(kept.bytes, metadata) ? kept : { bytes: metadata.slice(), schema: read() };
    this.#entries.set(hash, entry);
    if (this.#entries.size > this.#entriesMax) this.#entries.delete(this.#entries.keys().next().value!);
    return entry.schema;
  }

  static readonly bytesMax = 64 << 10;
}

/** FNV-1a over words; a collision costs a cache miss, nothing else. */
function hashOf(bytes: Uint8Array): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let hash = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i], 0x01000193);
  return hash;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const aWords = new Int32Array(a.buffer, a.byteOffset, a.length / 4);
  const bWords = new Int32Array(b.buffer, b.byteOffset, b.length / 4);
  for (let i = 0; i < aWords.length; i++) if (aWords[i] !== bWords[i]) return false;
  return true;
}
