/**
 * Arenas: memory that is allocated in pieces and freed as a whole, as memtables, key batches, writers and merges need.
 *
 *     arena   | next free | end of chunk | chunk | class | size |  ... fields of the owner, from ARENA_FIELDS on
 *     chunk   | chunk before | class | pieces ................. |   the arena itself is a piece of its first chunk
 *
 * Invariants: pieces are 8-aligned and never move; a failed allocation (0) changes nothing.
 */
import { classOf, region_alloc, region_free, regionSize } from './regions';

const NEXT: usize = 0;
const END: usize = 4;
const CHUNK: usize = 8;
const CLASS: usize = 12;
/** Bytes of all chunks. */
const SIZE: usize = 16;
export const ARENA_FIELDS: usize = 20;

const CHUNK_BEFORE: usize = 0;
const CHUNK_CLASS: usize = 4;
const CHUNK_HEAD: u32 = 8;

/** An arena whose chunks are regions of a class, with `size` cleared bytes for itself and its owner's fields; or 0. */
export function createArena(sizeClass: u32, size: u32): usize {
  const chunk = region_alloc(sizeClass);
  if (chunk == 0) return 0;
  store<usize>(chunk, 0, CHUNK_BEFORE);
  store<u32>(chunk, sizeClass, CHUNK_CLASS);
  const arena = chunk + CHUNK_HEAD;
  memory.fill(arena, 0, size);
  store<usize>(arena, arena + ((size + 7) & ~7), NEXT);
  store<usize>(arena, chunk + regionSize(sizeClass), END);
  store<usize>(arena, chunk, CHUNK);
  store<u32>(arena, sizeClass, CLASS);
  store<u32>(arena, regionSize(sizeClass), SIZE);
  return arena;
}

/** Makes sure that pieces of `size` bytes together can be had; false at the end of memory. */
export function reserve(arena: usize, size: u32): bool {
  if (load<usize>(arena, END) - load<usize>(arena, NEXT) >= size) return true;
  const sizeClass = max<u32>(load<u32>(arena, CLASS), classOf(size + CHUNK_HEAD));
  const chunk = region_alloc(sizeClass);
  if (chunk == 0) return false;
  store<usize>(chunk, load<usize>(arena, CHUNK), CHUNK_BEFORE);
  store<u32>(chunk, sizeClass, CHUNK_CLASS);
  store<usize>(arena, chunk + CHUNK_HEAD, NEXT);
  store<usize>(arena, chunk + regionSize(sizeClass), END);
  store<usize>(arena, chunk, CHUNK);
  store<u32>(arena, load<u32>(arena, SIZE) + regionSize(sizeClass), SIZE);
  return true;
}

/** A piece, not cleared; 0 at the end of memory. */
export function allocPiece(arena: usize, size: u32): usize {
  const rounded = (size + 7) & ~7;
  if (!reserve(arena, rounded)) return 0;
  const at = load<usize>(arena, NEXT);
  store<usize>(arena, at + rounded, NEXT);
  return at;
}

/** Frees an arena with all its pieces. */
export function arena_free(arena: usize): void {
  let chunk = load<usize>(arena, CHUNK);
  while (chunk != 0) {
    const before = load<usize>(chunk, CHUNK_BEFORE);
    region_free(chunk, load<u32>(chunk, CHUNK_CLASS));
    chunk = before;
  }
}
