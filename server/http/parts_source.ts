/** A large answer that lies in memory as a whole, sent in windows: whoever made it hears when it is gone. */
import { WINDOW_SIZE_MAX } from '../store/windows.ts';
import { sizeOf } from './answer.ts';
import type { AnswerSource } from './exchange.ts';

export function sourceOf(parts: readonly Uint8Array[]): AnswerSource {
  const slices = parts.flatMap((part) =>
    Array.from({ length: Math.ceil(part.length / WINDOW_SIZE_MAX) }, (_, place) =>
      part.subarray(place * WINDOW_SIZE_MAX, (place + 1) * WINDOW_SIZE_MAX),
    ),
  );
  let place = 0;
  return { size: sizeOf(parts), next: () => ({ parts: [slices[place++]], release: () => undefined }) };
}
