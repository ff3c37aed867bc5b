/**
 * Composes answers: record batches whose bodies are slices of stored columns, gathered row by row, with new metadata
 * and offsets. No value is touched.
 *
 *   stream        schemaMessage | composeBatch ... | EOS        all into one PieceList
 *   dense, scalar a slice per run of rows that are neighbours in their source
 *   others        new offsets (generated, beginning at 0), then a slice per run; n-D ragged also slices of the shapes
 *
 * Invariants: every buffer starts at a multiple of 8 of the body and is padded with zeros; row i of every column is
 * the row that its references name; a batch that is refused leaves the list as it was.
 */
import { ELEMENTS_MAX, elementSize, elementsOf, rowStride } from '../layout.ts';
import type { DenseLayout, FieldLayout, RaggedLayout } from '../layout.ts';
import { BodyWriter, generateColumn } from './body.ts';
import type { GeneratedColumn } from './body.ts';
import { flatFootprint, footprint, sumOfFootprints } from './field.ts';
import type { Footprint } from './field.ts';
import type { PieceList } from './pieces.ts';
import { refusable, refuse } from './refusal.ts';
import type { ArrowRefusal } from './refusal.ts';

/** A stored column of one batch. */
export interface ColumnSource {
  /** The caller's number of the extent that holds the parts; becomes the source of the pieces. */
  readonly extent: number;
  /** [offset, length] per part (see layout.ts), relative to whatever the caller takes as the extent's beginning. */
  readonly regions: ArrayLike<number>;
  /** The offsets part in memory; null for layouts without one. */
  readonly offsets: Int32Array | null;
}

/** Output row i is row `ordinals[i]` of `sources[sourceOf[i]]`. */
export interface GatheredColumn {
  readonly kind: 'gathered';
  readonly name: string;
  readonly layout: FieldLayout;
  readonly sources: readonly ColumnSource[];
  readonly sourceOf: ArrayLike<number>;
  readonly ordinals: ArrayLike<number>;
}

export type OutputColumn = GatheredColumn | GeneratedColumn;

export interface ComposedBatch {
  readonly ok: true;
  readonly bodyLength: number;
}

/**
 * Appends one record batch of `rows` rows. The columns are those of the stream's schema, in its order, index_id
 * included. Refused as `answer_too_large` when a column would need offsets beyond int32; `details.rows` then fit.
 */
export function composeBatch(
  list: PieceList,
  rows: number,
  columns: readonly OutputColumn[],
): ComposedBatch | ArrowRefusal {
  const mark = list.mark();
  const composed = refusable<ComposedBatch>(() => compose(list, rows, columns));
  if (!composed.ok) list.rewind(mark);
  return composed;
}

function compose(list: PieceList, rows: number, columns: readonly OutputColumn[]): ComposedBatch {
  const body = new BodyWriter(list, rows, footprintOf(columns));
  for (const column of columns) {
    if (column.kind === 'gathered') gather(body, column);
    else generateColumn(body, column);
  }
  return { ok: true, bodyLength: body.end() };
}

function footprintOf(columns: readonly OutputColumn[]): Footprint {
  return sumOfFootprints(
    columns.map((column) => {
      if (column.kind === 'gathered') return footprint(column.layout);
      return column.kind === 'text' ? footprint({ layout: 'text' }) : flatFootprint;
    }),
  );
}

function gather(body: BodyWriter, column: GatheredColumn): void {
  const { layout } = column;
  switch (layout.layout) {
    case 'scalar':
      body.node(body.rows);
      return gatherFixed(body, column, { part: 0, stride: rowStride(layout) });
    case 'dense':
      return gatherDense(body, column, layout);
    case 'ragged':
      if (layout.shape !== undefined) return gatherTensors(body, column, layout.shape);
      body.node(body.rows);
      return gatherVarying(body, column, true);
    default:
      body.node(body.rows);
      return gatherVarying(body, column, false);
  }
}

function gatherDense(body: BodyWriter, column: GatheredColumn, layout: DenseLayout): void {
  const elements = elementsOf(layout.shape);
  if (body.rows * elements > ELEMENTS_MAX) tooLarge(column, Math.floor(ELEMENTS_MAX / elements));
  body.node(body.rows);
  body.node(body.rows * elements);
  gatherFixed(body, column, { part: 0, stride: rowStride(layout) });
}

function gatherTensors(body: BodyWriter, column: GatheredColumn, shape: NonNullable<RaggedLayout['shape']>): void {
  body.node(body.rows);
  body.node(body.rows);
  gatherVarying(body, column, true);
  body.node(body.rows);
  body.node(body.rows * shape.length);
  gatherFixed(body, column, { part: 2, stride: 4 * shape.length });
}

/** Length of the run of neighbours, in one source, that begins at output row `row`. */
function runLength({ sourceOf, ordinals }: GatheredColumn, row: number, rows: number): number {
  const source = sourceOf[row];
  const shift = ordinals[row] - row;
  let end = row + 1;
  while (end < rows && sourceOf[end] === source && ordinals[end] - end === shift) end++;
  return end - row;
}

/** A buffer of rows that all have `stride` bytes. */
function gatherFixed(
  body: BodyWriter,
  column: GatheredColumn,
  { part, stride }: { part: number; stride: number },
): void {
  const { list, rows } = body;
  body.beginBuffer();
  for (let row = 0; row < rows;) {
    const run = runLength(column, row, rows);
    const { extent, regions } = column.sources[column.sourceOf[row]];
    list.push(extent, regions[2 * part] + column.ordinals[row] * stride, run * stride);
    row += run;
  }
  body.endBuffer();
}

/** An offsets buffer, the node of the elements where they are a list's, and the values. */
function gatherVarying(body: BodyWriter, column: GatheredColumn, isList: boolean): void {
  const { list, rows } = body;
  const at = body.generatedBuffer(4 * (rows + 1));
  const { words } = list;
  const width = elementSize(column.layout);
  const elementsNode = body.nodes.length;
  if (isList) body.node(0);
  body.beginBuffer();
  let total = 0;
  words[at] = 0;
  for (let row = 0; row < rows;) {
    const run = runLength(column, row, rows);
    const { extent, regions, offsets } = column.sources[column.sourceOf[row]];
    const first = column.ordinals[row];
    const begin = offsets![first];
    const count = offsets![first + run] - begin;
    if (total + count > ELEMENTS_MAX) tooLarge(column, row + rowsThatFit(offsets!, first, ELEMENTS_MAX - total));
    const shift = total - begin;
    for (let i = 1; i <= run; i++) words[at + row + i] = offsets![first + i] + shift;
    list.push(extent, regions[2] + begin * width, count * width);
    total += count;
    row += run;
  }
  body.endBuffer();
  if (isList) body.nodes[elementsNode] = total;
}

function rowsThatFit(offsets: Int32Array, first: number, elementsMax: number): number {
  let end = first;
  while (offsets[end + 1] - offsets[first] <= elementsMax) end++;
  return end - first;
}

function tooLarge({ name }: GatheredColumn, rows: number): never {
  return refuse('answer_too_large', `column ${name} would exceed 2^31 - 1 elements; ${rows} rows fit`, {
    column: name,
    rows,
  });
}
