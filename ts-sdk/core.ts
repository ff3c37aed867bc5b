/** The WebAssembly core of this thread, made at its first use: an import alone must cost nothing. */
import { loadCore, type Core } from '@transfer-queue/core/wasm';

let loaded: Core | undefined;

export function core(): Core {
  loaded ??= loadCore();
  return loaded;
}
