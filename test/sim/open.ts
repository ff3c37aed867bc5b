/** Opens a node as cheaply as a node can be opened: the simulation does it tens of thousands of times. */
import { loadCore } from '@transfer-queue/core/wasm';
import { openNode, type OpenedNode } from '../../server/engine/open.ts';
import { giveMemory, takeMemory, turn, type SimEnv } from '../support/sim_env.ts';
import { makeEager } from './eager.ts';

/** Two levels, so that the directory itself has to be made durable. */
export const DIR = '/srv/data';
export const SYNC_INTERVAL_MS = 1_000;

/** Small frames, so that few puts fill a segment. */
const FRAME_SIZE = 64 << 10;
const FRAMES = 24;

export interface SimNode extends OpenedNode {
  /** Ends it as a crash does: its memory goes, its disk stays as it is. Resolves when nothing of it runs any more. */
  abandon(): Promise<void>;
}

makeEager();

/** One for all: nodes give their pages back when they end. */
const core = loadCore();

export async function openSimNode(env: SimEnv, syncIntervalMs = SYNC_INTERVAL_MS): Promise<SimNode> {
  const memory = takeMemory(FRAMES * FRAME_SIZE);
  const end = async (): Promise<void> => {
    env.end();
    await turn();
    giveMemory(memory);
  };
  try {
    const opened = await openNode({
      env,
      core,
      directory: DIR,
      memory,
      memorySize: FRAMES * FRAME_SIZE,
      frameSize: FRAME_SIZE,
      blockCacheSize: 1 << 20,
      indexCacheSize: 1 << 20,
      syncIntervalMs,
      memoryWaitMsMax: 1_000,
      putBodySizeMax: 1 << 20,
      answerSizeMax: 1 << 30,
    });
    const abandon = (): Promise<void> => {
      opened.node.parts.state.close();
      return end();
    };
    return { ...opened, abandon };
  } catch (error) {
    await end();
    throw error;
  }
}
