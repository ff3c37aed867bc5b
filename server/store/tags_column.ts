/**
 * The column of a put that carries tags: for each row the text of a patch, or an empty one. It is no field of the
 * partition: its bytes stay in the extent as they came, and what it says is journaled with the put.
 */
import type { WalkedStream } from '@transfer-queue/core/arrow';
import { TAGS_COLUMN } from '@transfer-queue/core/protocol';

/** The stream as if it did not have the column. */
export function withoutTags(walked: WalkedStream): WalkedStream {
  const place = placeOf(walked);
  if (place < 0) return walked;
  const batches = walked.batches.map((batch) => ({ ...batch, columns: batch.columns.toSpliced(place, 1) }));
  return { ...walked, fields: walked.fields.toSpliced(place, 1), batches };
}

/** The texts of all rows; undefined when none says anything. */
export function tagsOf(stream: Uint8Array, walked: WalkedStream): readonly string[] | undefined {
  const place = placeOf(walked);
  if (place < 0) return undefined;
  const texts: string[] = [];
  const bytes = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  for (const { rows, columns } of walked.batches) {
    const [offsetsAt, offsetsSize, valuesAt] = columns[place].regions;
    const offsets = new Int32Array(stream.buffer, stream.byteOffset + offsetsAt, offsetsSize / 4);
    for (let row = 0; row < rows; row += 1) {
      texts.push(bytes.toString('utf8', valuesAt + offsets[row], valuesAt + offsets[row + 1]));
    }
  }
  return texts.some((text) => text !== '') ? texts : undefined;
}

function placeOf({ fields }: WalkedStream): number {
  return fields.findIndex(({ name }) => name === TAGS_COLUMN);
}
