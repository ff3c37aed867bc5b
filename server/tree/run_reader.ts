/**
 * Reads the files of a run from one end to the other for a compaction: in large pieces, and past the cache, which it
 * would fill with blocks that nobody asked for.
 *
 * Invariants: the block that was handed out last stays in the reader's slot until the next one is asked for.
 */
import { indexSeek, type LsmMemory } from '@transfer-queue/core/lsm';
import { placeBlock, type BlockCache } from './block_cache.ts';
import type { SstTable } from './sst_table.ts';

const READ_SIZE_MAX = 256 << 10;

export interface PlacedBlock {
  readonly address: number;
  readonly size: number;
}

export class RunReader {
  readonly #memory: LsmMemory;
  readonly #tables: readonly SstTable[];
  readonly #slot: number;
  #file = 0;
  #block = 0;
  /** Blocks [from, to) of the current file, as they are stored. */
  #buffer: Buffer = Buffer.alloc(0);
  #bytes = this.#buffer;
  #from = 0;
  #to = 0;
  /** Bytes read so far. */
  readSize = 0;

  constructor(memory: LsmMemory, tables: readonly SstTable[]) {
    this.#memory = memory;
    this.#tables = tables;
    this.#slot = memory.slotAlloc();
  }

  /** Goes on to the block that holds a key: what lies before it is not wanted. */
  async seek(cache: BlockCache, key: Uint8Array): Promise<void> {
    const table = this.#tables[0];
    const index = await cache.load(table, table.indexBlock);
    const found = indexSeek(this.#memory, index, key);
    cache.unpin(index);
    if (found === null) throw table.corrupt(table.indexBlock, 'its entries are out of order');
    this.#block = Math.max(0, found);
  }

  /** The next block, or null at the end. Rejects with `data_corrupt`. */
  async next(): Promise<PlacedBlock | null> {
    let table = this.#tables[this.#file];
    if (table !== undefined && this.#block === table.dataCount) {
      table = this.#tables[++this.#file];
      this.#block = this.#from = this.#to = 0;
    }
    if (table === undefined) return null;
    if (this.#block >= this.#to) await this.#read(table);
    return this.#place(table, this.#block++);
  }

  free(): void {
    this.#memory.slotFree(this.#slot);
  }

  async #read(table: SstTable): Promise<void> {
    const { offsets, dataCount } = table;
    let to = this.#block + 1;
    while (to < dataCount && offsets[to + 1] - offsets[this.#block] <= READ_SIZE_MAX) to++;
    const size = table.sizeOf(this.#block, to);
    if (this.#buffer.length < size) this.#buffer = Buffer.allocUnsafe(Math.max(size, READ_SIZE_MAX));
    this.#bytes = this.#buffer.subarray(0, size);
    await table.read(this.#block, this.#bytes);
    this.readSize += size;
    this.#from = this.#block;
    this.#to = to;
  }

  #place(table: SstTable, block: number): PlacedBlock {
    const at = table.offsets[block] - table.offsets[this.#from];
    const stored = this.#bytes.subarray(at, at + table.storedSize(block));
    const checksum = this.#bytes.subarray(at + stored.length);
    const size = placeBlock(this.#memory, { stored, checksum }, table, this.#slot);
    if (size === 0) throw table.corrupt(block, 'its checksum is wrong');
    return { address: this.#slot, size };
  }
}
