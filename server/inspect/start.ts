/**
 * What a start would make of a directory: recovery itself, run on an overlay, so that nothing is written to the disk.
 * There is no second implementation of what the files mean.
 *
 * Invariants: no timer fires, so that no lease expires and nothing goes on in the background; what recovery writes is
 * forgotten with the overlay.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import { openNode, type Recovery } from '../engine/open.ts';
import type { Node } from '../engine/node.ts';
import type { Env, Log } from '../env/env.ts';
import { OverlayFs, type Changes } from './overlay.ts';

/** Nothing is put, and bytes of puts are read around the caches: little is enough. */
const MEMORY_SIZE = 4 << 20;
const FRAME_SIZE = 1 << 20;
const BLOCK_CACHE_SIZE = 1 << 20;
const INDEX_CACHE_SIZE = 32 << 20;

export interface Started {
  readonly node: Node;
  readonly recovery: Recovery;
  /** What the start would have changed in the directory. */
  readonly changes: Changes;
  close(): Promise<void>;
}

/** What to give up, so that a start that would be refused shows the rest. */
export interface GivenUp {
  readonly journal?: JournalCut | null;
  /** Paths of files that are missing and count as empty. */
  readonly missing?: readonly string[];
}

/** Where reading of the journal shall end, when a start would refuse what follows. */
export interface JournalCut {
  readonly path: string;
  readonly offset: number;
  /** Files behind it. */
  readonly later: readonly string[];
}

/** Rejects as a start would. */
export async function startOn(env: Env, directory: string, givenUp: GivenUp = {}): Promise<Started> {
  const fs = new OverlayFs(env.fs);
  try {
    if (givenUp.journal) await cutJournal(fs, givenUp.journal);
    for (const path of givenUp.missing ?? []) await (await fs.open(path, { create: true })).close();
    const { node, recovery } = await openNode({
      env: overlayEnv(env, fs),
      core: loadCore(),
      directory,
      memorySize: MEMORY_SIZE,
      frameSize: FRAME_SIZE,
      blockCacheSize: BLOCK_CACHE_SIZE,
      indexCacheSize: INDEX_CACHE_SIZE,
      syncIntervalMs: Infinity,
      memoryWaitMsMax: Infinity,
      putBodySizeMax: 0,
      answerSizeMax: 0,
    });
    return { node, recovery, changes: fs.changes, close: () => fs.close() };
  } catch (error) {
    await fs.close();
    throw error;
  }
}

async function cutJournal(fs: OverlayFs, { path, offset, later }: JournalCut): Promise<void> {
  for (const one of later) await fs.unlink(one);
  if (offset === 0) return fs.unlink(path);
  const file = await fs.open(path);
  await file.truncate(offset);
}

/** Compaction would write much and show nothing new: it waits where tests stop it. */
const forEver = new Promise<void>(() => undefined);
const quiet = (): void => undefined;
const quietLog: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

function overlayEnv(env: Env, fs: OverlayFs): Env {
  const { clock } = env;
  return {
    fs,
    rng: env.rng,
    log: quietLog,
    fail: (point) => (point === 'tree.compaction.begin' ? forEver : null),
    clock: {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      soon: (action) => clock.soon(action),
      after: () => ({ cancel: quiet }),
    },
    net: { listen: () => Promise.reject(new Error('a directory that is looked at has no network')) },
    crash(reason, cause): never {
      throw new Error(`a start would crash: ${reason}`, { cause });
    },
  };
}
