/**
 * Which file of a run may hold a key: index blocks over the lowest keys of the files, in the memory of the tree.
 *
 *   root     | a.. | p.. |                 one block, or blocks over blocks where the files are many
 *   leaves   | a | d | k |   | p | s |     value: number of the file in its run
 *
 * Invariants: keys below the first file are in no file; the index lives until `free`.
 */
import { BlockWriter, SLOT_SIZE, type FinishedBlock, type KeyBatch, type LsmMemory } from '@transfer-queue/core/lsm';
import { invariant } from '../errors.ts';

/** Sorts before all versions of its key. */
const BEFORE_ALL = Number.MAX_SAFE_INTEGER;

interface Block {
  readonly address: number;
  readonly size: number;
  readonly first: Uint8Array;
}

export type VisitFile = (file: number, from: number, to: number) => void;

export class KeyIndex {
  readonly #memory: LsmMemory;
  /** Leaves first, the root alone at the end. */
  readonly #layers: Block[][] = [];

  constructor(memory: LsmMemory, firsts: readonly Uint8Array[]) {
    invariant(firsts.length > 0, 'an index has a file');
    this.#memory = memory;
    let below = firsts;
    do {
      const layer = this.#build(below);
      this.#layers.push(layer);
      below = layer.map(({ first }) => first);
    } while (below.length > 1);
  }

  /** Calls `visit` for each file that may hold pending keys, with their positions. */
  search(batch: KeyBatch, visit: VisitFile): void {
    this.#search(batch, { layer: this.#layers.length - 1, block: 0 }, { from: 0, to: batch.pendingCount }, visit);
  }

  free(): void {
    for (const { address } of this.#layers.flat()) this.#memory.slotFree(address);
  }

  #search(
    batch: KeyBatch,
    { layer, block }: { layer: number; block: number },
    { from, to }: { from: number; to: number },
    visit: VisitFile,
  ): void {
    const { address, size } = this.#layers[layer][block];
    const groups = batch.indexSearch(from, to, address, size);
    invariant(groups !== null, 'an index in memory is not damaged');
    for (const group of groups) {
      if (layer === 0) visit(group.a, group.from, group.to);
      else this.#search(batch, { layer: layer - 1, block: group.a }, group, visit);
    }
  }

  #build(firsts: readonly Uint8Array[]): Block[] {
    const writer = new BlockWriter(this.#memory);
    const blocks: Block[] = [];
    for (const [i, first] of firsts.entries()) {
      const numbers = { a: i, b: 0, c: 0 };
      if (writer.addIndex(first, BEFORE_ALL, numbers)) continue;
      blocks.push(this.#keep(writer.finish()!));
      writer.addIndex(first, BEFORE_ALL, numbers);
    }
    blocks.push(this.#keep(writer.finish()!));
    writer.free();
    return blocks;
  }

  #keep({ address, size, firstKey }: FinishedBlock): Block {
    const kept = this.#memory.slotAlloc();
    invariant(size <= SLOT_SIZE, 'an index block fits a slot');
    this.#memory.bytes.copyWithin(kept, address, address + size);
    return { address: kept, size, first: firstKey };
  }
}
