/**
 * The memory that the component model's canonical ABI needs: lists are lowered into it before a call and lifted from it
 * after, then all of it is free again.
 *
 *     chunk    | bump allocated ......... | free ......... |
 *
 * A call that needs more than the chunk gets one at least twice as large, so all abandoned ones together are smaller
 * than the one in use. Hosts of the raw exports never call this, so it takes no memory from them.
 */
import { growMemory } from './pages';

const WASM_PAGE_SIZE: usize = 65536;

let chunk: usize = 0;
let chunkEnd: usize = 0;
let nextFree: usize = 0;

function openChunk(sizeMin: usize): void {
  const size = max<usize>(sizeMin, (chunkEnd - chunk) * 2);
  const wasmPages = (size + WASM_PAGE_SIZE - 1) / WASM_PAGE_SIZE;
  chunk = growMemory(<u32>wasmPages);
  // The ABI has no status for this, and a host that lowers lists of a gigabyte has a bug.
  if (chunk == 0) unreachable();
  chunkEnd = chunk + wasmPages * WASM_PAGE_SIZE;
  nextFree = chunk;
}

/** Memory until the end of the call; all is 8-aligned, which is the most that the interface asks for. */
export function allocate(size: usize): usize {
  const rounded = (size + 7) & ~7;
  if (chunkEnd - nextFree < rounded) openChunk(rounded);
  const at = nextFree;
  nextFree += rounded;
  return at;
}

/** What hosts call to make room for a list. */
export function cabi_realloc(old: usize, oldSize: usize, align: usize, newSize: usize): usize {
  const at = allocate(newSize);
  memory.copy(at, old, min<usize>(oldSize, newSize));
  return at;
}

/** Ends a call (post-return, which is handed the result): frees all that was allocated for it. */
export function release(result: usize): void {
  nextFree = chunk;
}
