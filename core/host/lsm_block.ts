/**
 * Blocks of an SST in the memory of the tree: building, checking, and reading an index. The bytes of a block are
 * described in core/assembly/lsm/block.ts, those of a filter in core/assembly/lsm/filter.ts.
 *
 *     data block    entries in order
 *     index block   the same; key and LSN: lower bound of a block (or file), value: three varints a, b, c of the tree
 *     filter        of up to FILTER_KEYS_MAX keys: at most one slot
 *
 * Invariants: bytes that come from a disk are checked once before anything else reads them; all other readers stay
 * inside a block even when its bytes change under them, but then answer nonsense or `damaged`.
 */
import { SLOT_SIZE, type LsmMemory } from './lsm_memory.ts';
import { packEntry } from './lsm_pack.ts';

/** Keys of one filter; the writer is full when it has as many. */
export const FILTER_KEYS_MAX = 13_000;
/** Block offsets are u16. */
export const BLOCK_SIZE_MAX = 65_535;

/** A finished block; its bytes stand at `address` until the next write of its writer. */
export interface FinishedBlock {
  readonly address: number;
  readonly size: number;
  readonly entryCount: number;
  readonly firstKey: Uint8Array;
  readonly firstLsn: number;
  readonly lastKey: Uint8Array;
  readonly lastLsn: number;
  readonly lsnMin: number;
  readonly lsnMax: number;
  /** The lower bound for an index entry: above all that the block before it holds, short where it can be. */
  readonly boundKey: Uint8Array;
  readonly boundLsn: number;
}

/** Where the words of a writer stand that hosts read. */
const BLOCK_AT = 20;
const OPEN_COUNT_AT = 28;
const FILTER_KEYS_AT = 32;
const FIRST_KEY_SIZE_AT = 36;
const LAST_KEY_SIZE_AT = 40;
const BOUND_KEY_SIZE_AT = 44;
const FIRST_LSN_AT = 48;
const LAST_LSN_AT = 56;
const LSN_MIN_AT = 64;
const LSN_MAX_AT = 72;
const BOUND_LSN_AT = 80;
const ENTRY_COUNT_AT = 88;
const FIRST_KEY_AT = 96;
const LAST_KEY_AT = 352;
const BOUND_KEY_AT = 608;

const DAMAGED = -1;

/** Builds blocks, and collects the keys of a filter over one or several of them. */
export class BlockWriter {
  readonly #memory: LsmMemory;
  #writer: number;

  /** Blocks of at most `sizeMax` bytes. Throws LsmMemoryFull. */
  constructor(memory: LsmMemory, sizeMax = SLOT_SIZE) {
    if (sizeMax < SLOT_SIZE || sizeMax > BLOCK_SIZE_MAX) throw new RangeError(`blocks of ${sizeMax} bytes`);
    this.#memory = memory;
    this.#writer = memory.checked(memory.raw.writer_create(sizeMax));
  }

  /** For Merge. */
  get address(): number {
    return this.#writer;
  }

  /** Adds an entry (null deletes), which follows the one before; false when the block is full and must be finished. */
  add(key: Uint8Array, value: Uint8Array | null, lsn: number): boolean {
    const { raw, window } = this.#memory;
    packEntry(this.#memory.bytes, window, key, value);
    return raw.writer_add(this.#writer, window, lsn) === 1;
  }

  /** Adds an entry of an index block; a, b and c are u32 and mean what the tree wants. */
  addIndex(key: Uint8Array, lsn: number, numbers: { a: number; b: number; c: number }): boolean {
    return this.add(key, Uint8Array.from([numbers.a, numbers.b, numbers.c].flatMap(varint)), lsn);
  }

  /** Entries of the block under way. */
  get entryCount(): number {
    return this.#word(OPEN_COUNT_AT);
  }

  /** Distinct keys since the last filter. */
  get filterKeyCount(): number {
    return this.#word(FILTER_KEYS_AT);
  }

  /** Closes the block under way; null when it has no entry. The next entry begins a new block. */
  finish(): FinishedBlock | null {
    const size = this.#memory.raw.writer_finish(this.#writer);
    if (size === 0) return null;
    return {
      address: this.#word(BLOCK_AT),
      size,
      entryCount: this.#word(ENTRY_COUNT_AT),
      firstKey: this.#key(FIRST_KEY_AT, FIRST_KEY_SIZE_AT),
      firstLsn: this.#number(FIRST_LSN_AT),
      lastKey: this.#key(LAST_KEY_AT, LAST_KEY_SIZE_AT),
      lastLsn: this.#number(LAST_LSN_AT),
      lsnMin: this.#number(LSN_MIN_AT),
      lsnMax: this.#number(LSN_MAX_AT),
      boundKey: this.#key(BOUND_KEY_AT, BOUND_KEY_SIZE_AT),
      boundLsn: this.#number(BOUND_LSN_AT),
    };
  }

  /** Writes the filter of the keys since the last filter to a slot, forgets them, and returns its size. */
  filterInto(address: number): number {
    return this.#memory.raw.writer_filter(this.#writer, address);
  }

  /** Forgets everything: the next block is the first of a file. */
  reset(): void {
    this.#memory.raw.writer_reset(this.#writer);
  }

  free(): void {
    this.#memory.raw.arena_free(this.#writer);
    this.#writer = 0;
  }

  #word(at: number): number {
    return this.#memory.words[(this.#writer + at) / 4];
  }

  #number(at: number): number {
    return this.#memory.numbers[(this.#writer + at) / 8];
  }

  #key(at: number, sizeAt: number): Uint8Array {
    return this.#memory.read(this.#writer + at, this.#word(sizeAt));
  }
}

/** Whether `size` bytes at an address are a block of which every byte means something. Do it once after a read. */
export function checkBlock(memory: LsmMemory, address: number, size: number): boolean {
  return memory.raw.block_check(address, size) === 0;
}

/** The same for an index block, whose values must be three varints. */
export function checkIndex(memory: LsmMemory, address: number, size: number): boolean {
  return memory.raw.index_check(address, size) === 0;
}

export function checkFilter(memory: LsmMemory, address: number, size: number): boolean {
  return memory.raw.filter_check(address, size) === 0;
}

/** The numbers of all entries of an index block in order: a, b, c, a, b, c ... Null when it is damaged. */
export function indexNumbers(memory: LsmMemory, address: number, size: number): Uint32Array | null {
  const { raw, window } = memory;
  const count = raw.index_numbers(address, size, window);
  return count === DAMAGED ? null : memory.words.slice(window / 4, window / 4 + count * 3);
}

/** The ordinal of the last entry of an index block at or before (key, lsn), -1 when all are behind; null: damaged. */
export function indexSeek(
  memory: LsmMemory,
  { address, size }: { address: number; size: number },
  key: Uint8Array,
  lsn = Number.MAX_SAFE_INTEGER,
): number | null {
  memory.write(memory.window, key);
  const ordinal = memory.raw.index_seek(address, size, memory.window, key.length, lsn);
  return ordinal < -1 ? null : ordinal;
}

function varint(value: number): number[] {
  const bytes = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}
