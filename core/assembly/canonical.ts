/**
 * The memory that the component model's canonical ABI needs: lists are lowered into it before a call and lifted from it
 * after, then all of it is free again.
 *
 *     chunk    | link: next retired (4), size (4), pad (8) | bump allocated ......... |
 *
 * A call that needs more than the chunk gets a larger one; the retired one becomes bitmap pages when the call is over.
 * Hosts of the raw exports never call this, so it takes no memory from them.
 */
import { donatePages, growMemory } from './pages';

const WASM_PAGE_SIZE: usize = 65536;
const LINK_SIZE: usize = 16;

let chunk: usize = 0;
let chunkEnd: usize = 0;
let nextFree: usize = 0;
let retired: usize = 0;

function openChunk(sizeMin: usize): void {
  const size = max<usize>(sizeMin + LINK_SIZE, (chunkEnd - chunk) * 2);
  const wasmPages = (size + WASM_PAGE_SIZE - 1) / WASM_PAGE_SIZE;
  const opened = growMemory(<u32>wasmPages);
  // The ABI has no status for this, and a host that lowers lists of a gigabyte has a bug.
  if (opened == 0) unreachable();
  if (chunk != 0) {
    store<usize>(chunk, retired, 0);
    store<usize>(chunk, chunkEnd - chunk, 4);
    retired = chunk;
  }
  chunk = opened;
  chunkEnd = opened + wasmPages * WASM_PAGE_SIZE;
  nextFree = opened + LINK_SIZE;
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
  while (retired != 0) {
    const start = retired;
    retired = load<usize>(start, 0);
    donatePages(start, <u32>load<usize>(start, 4));
  }
  nextFree = chunk == 0 ? 0 : chunk + LINK_SIZE;
}
