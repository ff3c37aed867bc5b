/**
 * How much memory tags and numbers of rows take, which all partitions share: a put or a tag that has no room waits.
 *
 * Tags are weighed, not measured: what V8 needs for an object of these keys and values, about. Objects that rows share
 * weigh once for each row.
 */
import { isList, type Json } from '../sampler/json.ts';

/** Of the heap, whose default limit is 2 GiB or more. */
export const VALUE_BYTES_MAX_DEFAULT = 512 << 20;

const OBJECT_BYTES = 56;
const SLOT_BYTES = 8;
const STRING_BYTES = 16;

export class ValueMemory {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = VALUE_BYTES_MAX_DEFAULT) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether there is room for what these patches may bring. */
  hasRoom(patches: readonly string[]): boolean {
    let bytes = this.#bytes;
    for (const patch of patches) bytes += patch.length;
    return bytes <= this.#bytesMax;
  }

  /** Something takes so much more, or less. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }
}

export function weightOf(value: Json | undefined): number {
  if (value === undefined) return 0;
  if (typeof value === 'string') return STRING_BYTES + value.length;
  if (typeof value !== 'object' || value === null) return 0;
  let weight = OBJECT_BYTES;
  if (isList(value)) for (const item of value) weight += SLOT_BYTES + weightOf(item);
  else for (const key in value) weight += SLOT_BYTES + weightOf(value[key]);
  return weight;
}
