/**
 * A small answer as one run of bytes: copying them costs less than keeping their places until they are sent.
 *
 * Invariant: what is returned is valid until the next call; nothing is held after it.
 */
import { GENERATED, type PieceList } from '@transfer-queue/core/arrow';
import { TAIL_MAGIC, TAIL_SIZE } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { Holds, type ExtentReader } from './extents.ts';
import type { Located } from './locate.ts';

/** Of the bytes of an answer without its tail. */
export const SMALL_ANSWER_SIZE_MAX = 16 << 10;

const answer = Buffer.allocUnsafeSlow(SMALL_ANSWER_SIZE_MAX + TAIL_SIZE);
const holds = new Holds();

interface SmallAnswer {
  readonly reader: ExtentReader;
  readonly core: Core;
  readonly located: Located;
  readonly pieces: PieceList;
  readonly tail: boolean;
}

/** Null when the answer is not small, or some of it must come from disk. */
export function smallAnswer({ reader, core, located, pieces, tail }: SmallAnswer): Buffer | null {
  if (pieces.bytes > SMALL_ANSWER_SIZE_MAX) return null;
  const { sources, offsets, lengths, generated } = pieces;
  let size = 0;
  for (let piece = 0; piece < pieces.count; piece++) {
    const source = sources[piece];
    const offset = offsets[piece];
    const length = lengths[piece];
    const bytes =
      source === GENERATED
        ? generated.subarray(offset, offset + length)
        : reader.resident(located.batches[source].extent, offset, length, holds);
    if (bytes === null) break;
    answer.set(bytes, size);
    size += length;
  }
  reader.release(holds);
  if (size < pieces.bytes) return null;
  if (!tail) return answer.subarray(0, size);
  answer.write(TAIL_MAGIC, size, 'latin1');
  core.bodyChecksumInto(answer.subarray(0, size), answer, size + TAIL_MAGIC.length);
  return answer.subarray(0, size + TAIL_SIZE);
}
