/** What the Arrow tests share: seeded numbers, columns of every layout, and the cells of a walked stream as hex. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EOS, batchMessage, encodeBatch, schemaMessage, walkStream } from '../../../core/arrow/index.ts';
import type { ArrowRefusal, EncodedColumn, NamedLayout, WalkOptions, WalkedStream } from '../../../core/arrow/index.ts';
import { dtypes, elementSize, elementsOf, isDtype, rowStride } from '../../../core/layout.ts';
import type { Dtype, FieldLayout } from '../../../core/layout.ts';

export const vectors = fileURLToPath(new URL('../../vectors/arrow/', import.meta.url));

/** A copy at an aligned place: small Buffers share a pool. */
export function aligned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

export function readVector(path: string): Uint8Array<ArrayBuffer> {
  return aligned(readFileSync(vectors + path));
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return aligned(Buffer.concat(parts));
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** xorshift32: integers in [0, end). */
export function seeded(seed: number): (end: number) => number {
  let state = Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995 || 1;
  return (end) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % end;
  };
}

export const everyDtype = Object.keys(dtypes).filter(isDtype);

export const everyLayout: readonly FieldLayout[] = [
  ...everyDtype.flatMap((dtype: Dtype): FieldLayout[] => [
    { layout: 'dense', dtype, shape: [2, 3] },
    { layout: 'scalar', dtype },
    { layout: 'ragged', dtype },
    { layout: 'ragged', dtype, shape: [null, 2, null] },
  ]),
  { layout: 'text' },
  { layout: 'bytes' },
  { layout: 'json' },
];

export function columnName(layout: FieldLayout, i: number): string {
  return `${layout.layout}_${'dtype' in layout ? layout.dtype : 'utf8'}_${i}`;
}

const letters = ['a', 'é', '漢', '𝄞'];

/** A column of random cells. */
export function randomColumn(
  name: string,
  layout: FieldLayout,
  { rows, random }: { rows: number; random: (end: number) => number },
): EncodedColumn {
  const randomBytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => random(256));
  if (layout.layout === 'dense' || layout.layout === 'scalar')
    return { name, layout, values: randomBytes(rows * rowStride(layout)) };
  const offsets = new Int32Array(rows + 1);
  if (layout.layout === 'ragged') {
    const shapes: number[] = [];
    for (let row = 0; row < rows; row++) {
      const shape = (layout.shape ?? [null]).map((dimension) => dimension ?? random(4));
      shapes.push(...shape);
      offsets[row + 1] = offsets[row] + elementsOf(shape);
    }
    const values = randomBytes(offsets[rows] * elementSize(layout));
    return { name, layout, values, offsets, ...(layout.shape && { shapes: Int32Array.from(shapes) }) };
  }
  const cells = Array.from({ length: rows }, () =>
    Array.from({ length: random(4) }, () => letters[random(4)]).join(''),
  );
  const bytes = cells.map((cell) => Buffer.from(cell));
  bytes.forEach((cell, row) => (offsets[row + 1] = offsets[row] + cell.length));
  return { name, layout, values: Buffer.concat(bytes), offsets };
}

/** A stream of random rows with these fields. */
export function randomStream(
  fields: readonly FieldLayout[],
  options: { rows: number; random: (end: number) => number; idFirst?: number },
): Uint8Array<ArrayBuffer> {
  const ids = Array.from({ length: options.rows }, (_, row) => (options.idFirst ?? 0) + row);
  const columns = fields.map((layout, i) => randomColumn(columnName(layout, i), layout, options));
  return joined(encodeBatch(ids, columns));
}

export function int32s(...values: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer);
}

/**
 * A stream of one batch with ids 0.. and these buffers, right or wrong; nodes and buffers are those after index_id's.
 */
export function rawStream(
  fields: readonly NamedLayout[],
  batch: { rows: number; nodes: number[]; buffers: Uint8Array[] },
): Uint8Array<ArrayBuffer> {
  const ids = BigInt64Array.from({ length: batch.rows }, (_, row) => BigInt(row));
  const regions: number[] = [];
  const body: Uint8Array[] = [];
  let end = 0;
  for (const buffer of [new Uint8Array(), new Uint8Array(ids.buffer), ...batch.buffers]) {
    regions.push(end, buffer.length);
    const padded = new Uint8Array(Math.ceil(buffer.length / 8) * 8);
    padded.set(buffer);
    body.push(padded);
    end += padded.length;
  }
  const message = batchMessage({ rows: batch.rows, nodes: [batch.rows, ...batch.nodes], regions, bodyLength: end });
  return joined([schemaMessage(fields), message, ...body, EOS]);
}

/** A record batch of no rows. */
export function emptyBatch(nodeCount: number, bufferCount: number): Uint8Array {
  const zeros = (count: number): number[] => new Array<number>(count).fill(0);
  return batchMessage({ rows: 0, nodes: zeros(nodeCount), regions: zeros(2 * bufferCount), bodyLength: 0 });
}

export function walked(stream: Uint8Array, options?: WalkOptions): WalkedStream {
  const result = walkStream(stream, options);
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result;
}

export function refusalOf(stream: Uint8Array, options?: WalkOptions): ArrowRefusal {
  const result = walkStream(stream, options);
  if (result.ok) throw new Error('the stream was accepted');
  return result;
}

export interface Cells {
  readonly ids: number[];
  readonly columns: Record<string, string[]>;
}

/** The cells of a walked stream, as the oracle gives them. */
export function cellsOf(stream: Uint8Array, { fields, batches }: WalkedStream): Cells {
  const ids = batches.flatMap((batch) => [...batch.ids]);
  const columns: Record<string, string[]> = {};
  fields.forEach(({ name, layout }, i) => {
    columns[name] = batches.flatMap(({ rows, columns: stored }) =>
      Array.from({ length: rows }, (_, row) => cellOf(stream, layout, { regions: stored[i].regions, row })),
    );
  });
  return { ids, columns };
}

function cellOf(
  stream: Uint8Array,
  layout: FieldLayout,
  { regions, row }: { regions: readonly number[]; row: number },
): string {
  const slice = (part: number, start: number, end: number): string => {
    if (end > regions[2 * part + 1]) throw new Error('a cell lies outside its part');
    return hex(stream.subarray(regions[2 * part] + start, regions[2 * part] + end));
  };
  const stride = rowStride(layout);
  if (stride > 0) return slice(0, row * stride, (row + 1) * stride);
  const offsets = new Int32Array(stream.buffer, stream.byteOffset + regions[0], regions[1] / 4);
  const width = elementSize(layout);
  const values = slice(1, offsets[row] * width, offsets[row + 1] * width);
  if (layout.layout !== 'ragged' || layout.shape === undefined) return values;
  const size = 4 * layout.shape.length;
  return slice(2, row * size, (row + 1) * size) + values;
}
