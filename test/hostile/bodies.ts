/** Put bodies by name, for the tables: good ones, and ones that are wrong in one way each. */
import { readFileSync } from 'node:fs';
import { batchMessage, encodeBatch, EOS, schemaMessage, type EncodedColumn } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { mediaTypes, TAIL_MAGIC } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';

export const core = loadCore();
const vectors = new URL('../vectors/arrow/', import.meta.url);

/** The fields of partition `train`. */
export const trainFields = {
  image: { layout: 'dense', dtype: 'float32', shape: [2, 2] },
  score: { layout: 'scalar', dtype: 'float64' },
  tokens: { layout: 'ragged', dtype: 'int64' },
  strips: { layout: 'ragged', dtype: 'float32', shape: [null, 4] },
  note: { layout: 'text' },
} as const satisfies Record<string, FieldLayout>;

export function withTail(stream: Uint8Array, checksum: Uint8Array = checksumOf(stream)): Buffer {
  return Buffer.concat([stream, Buffer.from(TAIL_MAGIC), checksum]);
}

export function checksumOf(stream: Uint8Array): Uint8Array {
  const hasher = core.bodyHasher();
  hasher.update(stream);
  return hasher.finish();
}

/** The checksum as the `tq-checksum` header writes it: the digits of the number, highest first. */
export function checksumHex(stream: Uint8Array): string {
  return Buffer.from(checksumOf(stream)).reverse().toString('hex');
}

export function streamOf(ids: readonly number[], columns: readonly EncodedColumn[]): Buffer {
  return Buffer.concat(encodeBatch(ids, columns));
}

export function scalars(name: string, rows: number, dtype: 'float64' | 'int64' = 'float64'): EncodedColumn {
  return { name, layout: { layout: 'scalar', dtype }, values: new Float64Array(rows) };
}

/** A column of `train` with rows of one element, token or letter each. */
function column(name: string, layout: FieldLayout, rows: number): EncodedColumn {
  const offsets = Int32Array.from({ length: rows + 1 }, (_, row) => row);
  switch (layout.layout) {
    case 'scalar':
      return { name, layout, values: new Float64Array(rows) };
    case 'dense':
      return { name, layout, values: new Float32Array(rows * layout.shape.reduce((a, b) => a * b)) };
    case 'ragged':
      if (layout.shape === undefined) return { name, layout, offsets, values: new BigInt64Array(rows) };
      return {
        ...{ name, layout, offsets: offsets.map((offset) => 4 * offset), values: new Float32Array(4 * rows) },
        shapes: Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? 1 : 4)),
      };
    default:
      return { name, layout, offsets, values: Buffer.alloc(rows, 'x') };
  }
}

export function trainStream(ids: readonly number[]): Buffer {
  return streamOf(
    ids,
    Object.entries(trainFields).map(([name, layout]) => column(name, layout, ids.length)),
  );
}

const ids = [100, 101, 102];
const score = scalars('score', ids.length);
const good = trainStream(ids);

/** Two record batches with these ids, of field `score`. */
function twoBatches(first: readonly number[], second: readonly number[]): Buffer {
  const schema = schemaMessage([score]);
  const batch = (rows: readonly number[]): Buffer =>
    streamOf(rows, [scalars('score', rows.length)]).subarray(schema.length, -EOS.length);
  return Buffer.concat([schema, batch(first), batch(second), EOS]);
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at] ^= 1;
  return copy;
}

/** Says of its one batch that its body has 10 GiB. */
function hugeBatch(): Buffer {
  const message = batchMessage({
    rows: 3,
    nodes: [3, 3],
    regions: [0, 0, 0, 24, 24, 0, 24, 24],
    bodyLength: 10 * 2 ** 30,
  });
  return Buffer.concat([schemaMessage([score]), message, Buffer.alloc(48), EOS]);
}

function ragged(layout: FieldLayout, offsets: readonly number[], values: ArrayBufferView): Buffer {
  return streamOf(ids, [
    { name: layout.layout === 'text' ? 'note' : 'tokens', layout, offsets: Int32Array.from(offsets), values },
  ]);
}

/** A stream whose offsets were good until the writer was asked: the numbers are found and replaced. */
function badOffsets(from: readonly number[], to: readonly number[]): Buffer {
  const stream = ragged({ layout: 'ragged', dtype: 'int64' }, from, new BigInt64Array(from[from.length - 1]));
  const at = stream.indexOf(Buffer.from(Int32Array.from(from).buffer));
  Buffer.from(Int32Array.from(to).buffer).copy(stream, at);
  return stream;
}

/** Those of media type Arrow. */
export const arrowBodies: Readonly<Record<string, Uint8Array>> = {
  good,
  good_tail: withTail(good),
  score: streamOf(ids, [score]),
  score_rows_there: streamOf([0, 1, 2], [score]),
  half_there: streamOf([7, 8, 9], [score]),
  other_field: streamOf(ids, [scalars('other', 3)]),
  no_fields: streamOf(ids, []),
  int_score: streamOf(ids, [scalars('score', 3, 'int64')]),
  dense_score: streamOf(ids, [{ ...score, layout: { layout: 'dense', dtype: 'float64', shape: [1] } }]),
  wide_image: streamOf(ids, [column('image', { layout: 'dense', dtype: 'float32', shape: [4, 1] }, 3)]),
  flat_image: streamOf(ids, [column('image', { layout: 'dense', dtype: 'float32', shape: [4] }, 3)]),
  float_tokens: streamOf(ids, [
    { ...column('tokens', trainFields.tokens, 3), layout: { layout: 'ragged', dtype: 'float64' } },
  ]),
  free_strips: streamOf(ids, [
    { ...column('strips', trainFields.strips, 3), layout: { layout: 'ragged', dtype: 'float32', shape: [null, null] } },
  ]),
  bytes_note: streamOf(ids, [column('note', { layout: 'bytes' }, 3)]),
  json_note: streamOf(ids, [column('note', { layout: 'json' }, 3)]),
  same_field_twice: streamOf(ids, [score, score]),
  bad_utf8: ragged({ layout: 'text' }, [0, 1, 2, 3], Buffer.from([0xc0, 0x80, 0x61])),
  falling_offsets: badOffsets([0, 1, 2, 3], [0, 2, 1, 3]),
  negative_offsets: badOffsets([0, 1, 2, 3], [-1, 1, 2, 3]),
  offsets_beyond: badOffsets([0, 1, 2, 3], [0, 1, 2, 0x7fffffff]),
  duplicate_ids: streamOf([100, 101, 100], [score]),
  duplicate_neighbours: streamOf([100, 100], [scalars('score', 2)]),
  duplicate_across_batches: twoBatches([100, 101], [102, 100]),
  good_batches: twoBatches([100, 101], [102, 103]),
  empty_schema_only: Buffer.concat([schemaMessage([score]), EOS]),
  no_eos: good.subarray(0, -EOS.length),
  half: good.subarray(0, 8 * Math.floor(good.length / 16)),
  first_8: good.subarray(0, 8),
  one_byte: good.subarray(0, 1),
  surplus: Buffer.concat([good, Buffer.alloc(8)]),
  twice: Buffer.concat([good, good]),
  huge_batch: hugeBatch(),
  zeros: new Uint8Array(4_096),
  ones: new Uint8Array(4_096).fill(0xff),
  text: Buffer.from('{"ids":[1]}'),
  tail_only: withTail(new Uint8Array()),
  tail_wrong: withTail(good, Buffer.alloc(8)),
  tail_swapped: withTail(good, Buffer.from(checksumOf(good)).reverse()),
  tail_magic_wrong: flipped(withTail(good), -16),
  tail_over_flipped: flipped(withTail(good), 200),
  tail_cut: withTail(good).subarray(0, -4),
};

/** Those of media type JSON. */
const jsonBodies: Readonly<Record<string, Uint8Array>> = {
  deep: Buffer.from(`{"ids":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
  deeper_keys: Buffer.from(`${'{"ids":'.repeat(50_000)}1${'}'.repeat(50_000)}`),
  cut: Buffer.from('{"ids":[1,2'),
  bom: Buffer.from('\ufeff{"ids":[1]}'),
  latin1: Buffer.from('{"t\xe9sk":1}', 'latin1'),
  nul: Buffer.from('{"ids":[1]}\0'),
  utf16: Buffer.from('{"ids":[1]}', 'utf16le'),
  big: Buffer.from(`{"ids":[1],"x":"${'x'.repeat(1 << 20)}"}`),
  ids_32769: Buffer.from(JSON.stringify({ ids: Array.from({ length: 32_769 }, (_, id) => id) })),
};

export interface Body {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** A body of the tables: JSON as it stands, `@name` of those above, `@vector/path` of test/vectors. */
export function bodyOf(text: string): Body {
  const [json, arrow] = [mediaTypes.json, mediaTypes.arrow];
  if (!text.startsWith('@')) return { mediaType: json, bytes: Buffer.from(text) };
  const name = text.slice(1);
  if (name.includes('/')) return { mediaType: arrow, bytes: readFileSync(new URL(name, vectors)) };
  if (Object.hasOwn(jsonBodies, name)) return { mediaType: json, bytes: jsonBodies[name] };
  if (Object.hasOwn(arrowBodies, name)) return { mediaType: arrow, bytes: arrowBodies[name] };
  throw new Error(`no body is called ${text}`);
}
