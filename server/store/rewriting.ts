/**
 * Writes rows of an extent anew: Arrow streams that hold the rows that still matter, and nothing of the others.
 *
 *   old extent   | schema | batch: rows 0 1 2 3 4 5 6 7 | batch ... |        rows 2 and 5 still show it
 *   new extent   | schema | batch: rows 2 5 | batch ... |                    values copied, offsets made anew
 *
 * Invariants: no value is touched; a stream holds at most `ROWS_MAX` rows, so that the event that names them is applied
 * within a turn of the event loop that nobody notices; a row keeps all the cells that it had in its batch.
 */
import { composeBatch, EOS, PieceList, schemaMessage, walkStream } from '@transfer-queue/core/arrow';
import type { OutputColumn, WalkedBatch, WalkedStream } from '@transfer-queue/core/arrow';
import { INDEX_COLUMN } from '@transfer-queue/core/protocol';
import { invariant } from '../errors.ts';
import type { RewrittenBatch } from '../journal/events.ts';
import type { LiveExtent } from './partition.ts';

export const ROWS_MAX = 2_048;
/** Values of a stream, about: more rows go to the next one. */
const STREAM_SIZE_MAX = 4 << 20;

/** Rows of one batch that still show a cell of it. */
export interface KeptRows {
  /** Number of the batch. */
  readonly batch: number;
  readonly walked: WalkedBatch;
  readonly ids: Float64Array;
  /** Places of the rows in the batch. */
  readonly ordinals: Float64Array;
}

export interface RewrittenStream {
  readonly bytes: Uint8Array;
  readonly batches: readonly RewrittenBatch[];
}

/** `bytes` are all of the extent, `walked` what they hold. */
export function* rewrittenStreams(
  extent: LiveExtent,
  old: { readonly bytes: Uint8Array; readonly walked: WalkedStream },
  kept: readonly KeptRows[],
): Generator<RewrittenStream> {
  const totalRows = old.walked.batches.reduce((sum, { rows }) => sum + rows, 0);
  const rowSize = Math.max(1, extent.length / totalRows);
  const rowsMax = Math.max(1, Math.min(ROWS_MAX, Math.floor(STREAM_SIZE_MAX / rowSize)));
  let parts: KeptRows[] = [];
  let room = rowsMax;
  for (const rows of kept) {
    for (let first = 0; first < rows.ids.length;) {
      const end = Math.min(rows.ids.length, first + room);
      parts.push({ ...rows, ids: rows.ids.subarray(first, end), ordinals: rows.ordinals.subarray(first, end) });
      room -= end - first;
      first = end;
      if (room > 0) continue;
      yield streamOf(extent, old, parts);
      parts = [];
      room = rowsMax;
    }
  }
  if (parts.length > 0) yield streamOf(extent, old, parts);
}

function streamOf(
  { partition }: LiveExtent,
  { bytes: source, walked }: { readonly bytes: Uint8Array; readonly walked: WalkedStream },
  parts: readonly KeptRows[],
): RewrittenStream {
  const pieces = new PieceList();
  pieces.pushCopy(schemaMessage(walked.fields));
  for (const part of parts) {
    const composed = composeBatch(pieces, part.ids.length, columnsOf(source, walked, part));
    invariant(composed.ok, 'some rows of a batch fit a batch');
  }
  pieces.pushCopy(EOS);
  const bytes = Buffer.concat(pieces.views(() => source));
  const written = walkStream(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  invariant(written.ok && written.batches.length === parts.length, 'a rewritten stream is what a put could be');
  const fields = walked.fields.map(({ name }) => partition.fieldsByName.get(name)!.id);
  const batches = parts.map(({ batch, ids, ordinals }, place) => ({
    ...{ batch, ids, ordinals },
    columns: written.batches[place].columns.map(({ regions }, column) => ({ field: fields[column], regions })),
  }));
  return { bytes, batches };
}

function columnsOf(source: Uint8Array, { fields }: WalkedStream, { walked, ids, ordinals }: KeptRows): OutputColumn[] {
  const sourceOf = new Uint8Array(ids.length);
  const gathered = fields.map(({ name, layout }, column): OutputColumn => {
    const { regions } = walked.columns[column];
    const isVarying = layout.layout !== 'dense' && layout.layout !== 'scalar';
    const offsets = isVarying ? new Int32Array(source.buffer, source.byteOffset + regions[0], regions[1] / 4) : null;
    return { kind: 'gathered', name, layout, sources: [{ extent: 0, regions, offsets }], sourceOf, ordinals };
  });
  return [{ kind: 'int64', name: INDEX_COLUMN, values: ids }, ...gathered];
}
