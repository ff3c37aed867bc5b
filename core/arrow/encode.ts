/**
 * Encodes a put body from columns in memory: a schema, one record batch, the end of the stream. Values are not copied.
 */
import { elementSize, elementsOf, partCount, rowStride } from '../layout.ts';
import type { FieldLayout } from '../layout.ts';
import { INDEX_COLUMN } from '../protocol.ts';
import { BodyWriter, generateColumn } from './body.ts';
import { flatFootprint, footprint, sumOfFootprints } from './field.ts';
import { EOS, schemaMessage } from './message.ts';
import { PieceList } from './pieces.ts';

/** A column of one batch, as the parts of layout.ts. */
export interface EncodedColumn {
  readonly name: string;
  readonly layout: FieldLayout;
  /** Little-endian elements of the dtype: bfloat16 as uint16, bool as uint8 of 0 or 1. */
  readonly values: ArrayBufferView;
  /**
   * Of all but dense and scalar: one more than rows, beginning at 0; row i is elements offsets[i] to offsets[i + 1].
   */
  readonly offsets?: Int32Array;
  /** Of n-D ragged: the dimensions of each row, row after row. */
  readonly shapes?: Int32Array;
}

/** The body as parts to be sent one after the other. Throws a RangeError where the parts of a column do not fit. */
export function encodeBatch(ids: ArrayLike<number>, columns: readonly EncodedColumn[]): Uint8Array[] {
  const rows = ids.length;
  const list = new PieceList();
  const sources: Uint8Array[] = [];
  const push = (part: ArrayBufferView): void => {
    list.push(sources.length, 0, part.byteLength);
    sources.push(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  };
  list.pushCopy(schemaMessage(columns));
  const size = sumOfFootprints([flatFootprint, ...columns.map(({ layout }) => footprint(layout))]);
  const body = new BodyWriter(list, rows, size);
  generateColumn(body, { kind: 'int64', name: INDEX_COLUMN, values: ids });
  for (const column of columns) {
    checkParts(column, rows);
    writeColumn(body, column, (part) => {
      body.beginBuffer();
      push(part);
      body.endBuffer();
    });
  }
  body.end();
  list.pushCopy(EOS);
  return list.views((source) => sources[source]);
}

/** Nodes and buffers in pre-order, as in compose.ts. */
function writeColumn(body: BodyWriter, column: EncodedColumn, buffer: (part: ArrayBufferView) => void): void {
  const { layout, values, offsets, shapes } = column;
  const { rows } = body;
  body.node(rows);
  if (shapes !== undefined) body.node(rows);
  if (offsets !== undefined) buffer(offsets);
  if (layout.layout === 'dense') body.node(rows * elementsOf(layout.shape));
  if (layout.layout === 'ragged') body.node(values.byteLength / elementSize(layout));
  buffer(values);
  if (shapes !== undefined) {
    body.node(rows);
    body.node(shapes.length);
    buffer(shapes);
  }
}

function checkParts({ name, layout, values, offsets, shapes }: EncodedColumn, rows: number): void {
  const demand = (holds: boolean, what: string): void => {
    if (!holds) throw new RangeError(`column ${name}: ${what}`);
  };
  const parts = partCount(layout);
  demand((offsets !== undefined) === parts > 1, `layout ${layout.layout} ${parts > 1 ? 'needs' : 'takes no'} offsets`);
  demand((shapes !== undefined) === parts > 2, `layout ${layout.layout} ${parts > 2 ? 'needs' : 'takes no'} shapes`);
  if (offsets === undefined) {
    const size = rows * rowStride(layout);
    demand(values.byteLength === size, `values must have ${size} bytes, not ${values.byteLength}`);
    return;
  }
  const size = offsets[rows] * elementSize(layout);
  demand(offsets.length === rows + 1 && offsets[0] === 0, `offsets must be ${rows + 1} numbers that begin at 0`);
  demand(values.byteLength === size, `values must have ${size} bytes, as the offsets say, not ${values.byteLength}`);
  if (layout.layout !== 'ragged' || layout.shape === undefined) return;
  const count = rows * layout.shape.length;
  demand(shapes!.length === count, `shapes must be ${count} numbers`);
}
