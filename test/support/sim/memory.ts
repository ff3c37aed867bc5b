/**
 * The memory of simulated nodes, used again by those that come after: to make it fresh costs a third of a start, and
 * asks for a collection each dozen of starts.
 *
 *   arena   zeros, as fresh memory is
 *   tree    | statics as an instance begins with them | window | statics | regions of 1 MiB, all free |
 *
 * Invariant: memory is given back in a later turn than its node ended in, so that nothing writes to it any more.
 */
import { createLsmMemory, type LsmMemory } from '@transfer-queue/core/lsm';
import type { NodeMemory } from '../../../server/engine/open.ts';

const REGION_SIZE = 1 << 20;
/** The class of such regions, by which memory grows (core/assembly/lsm/regions.ts). */
const REGION_CLASS = 6;
/** A tree that grew beyond is not worth keeping: larger regions than these are not found again. */
const TREE_SIZE_MAX = 8 << 20;
const FREE_MAX = 16;

const free: NodeMemory[] = [];
/** What an instance begins with, without its window, which nobody reads before writing to it. */
const statics = staticsOf(createLsmMemory());

export function takeMemory(arenaSize: number): NodeMemory {
  const memory = free.pop();
  if (memory?.arena.byteLength === arenaSize) return memory;
  return { arena: new ArrayBuffer(arenaSize), tree: createLsmMemory() };
}

export function giveMemory(memory: NodeMemory): void {
  if (free.length >= FREE_MAX || memory.tree.size > TREE_SIZE_MAX) return;
  new Uint8Array(memory.arena).fill(0);
  clear(memory.tree);
  free.push(memory);
}

function clear(tree: LsmMemory): void {
  const { bytes, window, windowSize } = tree;
  bytes.set(statics.before);
  bytes.set(statics.after, window + windowSize);
  for (let region = statics.size; region + REGION_SIZE <= tree.size; region += REGION_SIZE) {
    tree.raw.region_free(region, REGION_CLASS);
  }
}

function staticsOf({ bytes, window, windowSize, size }: LsmMemory): {
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  readonly size: number;
} {
  return { before: bytes.slice(0, window), after: bytes.slice(window + windowSize), size };
}
