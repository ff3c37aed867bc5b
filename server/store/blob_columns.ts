/**
 * The columns of a put whose cells name blobs: which blobs, each once, and which rows name them. The digests are stored
 * with the other columns, and journaled with the put as well, since who names a blob decides how long it stays.
 */
import type { WalkedStream } from '@transfer-queue/core/arrow';
import { BLOB_DIGEST_SIZE } from '@transfer-queue/core/protocol';
import type { BlobColumn } from '../journal/events.ts';

export interface BlobCells extends Omit<BlobColumn, 'field'> {
  /** Its place in the stream. */
  readonly column: number;
}

/** Undefined when there are no such columns. */
export function blobCellsOf(stream: Uint8Array, { fields, batches }: WalkedStream): BlobCells[] | undefined {
  const columns = fields.flatMap(({ layout }, column) => (layout.layout === 'blob' ? [column] : []));
  if (columns.length === 0) return undefined;
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  return columns.map((column) => {
    const known = new Map<string, number>();
    const places = new Uint32Array(rows);
    let row = 0;
    for (const batch of batches) {
      const [offsetsAt, , valuesAt] = batch.columns[column].regions;
      for (let i = 0; i < batch.rows; i += 1, row += 1) {
        const at = valuesAt + bytes.readInt32LE(offsetsAt + 4 * i);
        const digest = bytes.toString('hex', at, at + BLOB_DIGEST_SIZE);
        let place = known.get(digest);
        if (place === undefined) known.set(digest, (place = known.size));
        places[row] = place;
      }
    }
    return { column, digests: [...known.keys()], places };
  });
}
