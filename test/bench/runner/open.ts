/**
 * A data directory opened without a server around it: in this process, or in one that does nothing else.
 *
 *     node test/bench/runner/open.ts DIR        opens, says how long that took as one line of JSON, closes
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadCore } from '../../../core/wasm.ts';
import { openNode, type OpenedNode } from '../../../server/engine/open.ts';
import { realEnv } from '../../../server/env/real.ts';
import { quietLog } from '../../support/sim_env.ts';
import { timeMs } from './measure.ts';

/** A start as its process saw it. */
export interface Opening {
  readonly ms: number;
  /** How many were replayed. */
  readonly events: number;
  /** In all partitions. */
  readonly rows: number;
}

/** Checkpoints come only when they are asked for. */
export function openDirectory(directory: string): Promise<OpenedNode> {
  return openNode({
    env: realEnv(quietLog),
    core: loadCore(),
    directory,
    memorySize: 256 << 20,
    frameSize: 16 << 20,
    blockCacheSize: 16 << 20,
    indexCacheSize: 64 << 20,
    syncIntervalMs: 1_000,
    memoryWaitMsMax: 10_000,
    putBodySizeMax: 128 << 20,
    answerSizeMax: 1 << 30,
    checkpoints: { memtableSize: Infinity, journalSize: Infinity, intervalMs: Infinity },
  });
}

export async function openElsewhere(directory: string): Promise<Opening> {
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), directory]);
  return JSON.parse(stdout) as Opening;
}

async function main(directory: string): Promise<void> {
  let opened: OpenedNode | undefined;
  const ms = await timeMs(async () => (opened = await openDirectory(directory)));
  const { node, recovery } = opened!;
  let rows = 0;
  for (const { slots } of node.parts.state.queues()) rows += slots.rows;
  process.stdout.write(JSON.stringify({ ms, events: recovery.events, rows } satisfies Opening));
  await opened!.close();
}

if (import.meta.main) await main(process.argv[2]);
