/**
 * Runs a node: listens, opens the data directory, serves, and stops gracefully.
 *
 *   listen (health yes, ready no) -> recover -> serve -> stop: refuse, finish answers, make durable, unlock
 */
import { limits, TAIL_SIZE } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';
import type { Settings } from './config.ts';
import { openNode, type OpenedNode } from './engine/open.ts';
import { loadSamplers } from './engine/sampler_modules.ts';
import type { Env } from './env/env.ts';
import { loadModule } from './env/modules.ts';
import { App, refusal } from './http/app.ts';
import { httpLimits } from './http/limits.ts';
import { listenHttp, type HttpListener } from './http/listener.ts';
import { Metrics } from './metrics.ts';
import { nodeGauges } from './gauges.ts';

const FRAMES_PER_ARENA = 16;
const FRAME_SIZE_MIN = 1 << 20;
const FRAME_SIZE_MAX = 256 << 20;
const BLOCK_CACHE_SHARE = 8;
const MEMORY_WAIT_MS_MAX = 10_000;
const STOP_GRACE_MS = 5_000;
/** Pages of the arena that are touched between two turns of the event loop. */
const TOUCH_STEP = 1 << 17;

export interface RunningServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Rejects when the address is taken, the directory is locked or recovery refuses. */
export async function serve(env: Env, settings: Settings): Promise<RunningServer> {
  const app: App = new App({
    log: env.log,
    token: settings.token,
    shards: settings.shards,
    metrics: () => metrics.text(),
    observe: (route, status) => metrics.observe(route, status),
    crash: (reason, cause) => env.crash(reason, cause),
  });
  const sizes = sizesOf(settings.memory);
  const { clock, net } = env;
  const transport = { ...httpLimits, bodyBytesMax: sizes.putBodySizeMax + TAIL_SIZE };
  const { host, port } = settings;
  const listener = await listenHttp({ net, clock, limits: transport, handler: app.handle, refusal, host, port });
  const metrics = new Metrics({ gauges: nodeGauges(() => app.node, listener) });
  app.url = settings.advertise === '' ? urlOf(listener) : settings.advertise;
  const startedMs = clock.nowMs();
  const opened = await openNode({
    env,
    core: loadCore(),
    directory: settings.data,
    memorySize: settings.memory,
    indexCacheSize: settings.indexCache,
    syncIntervalMs: settings.syncIntervalMs,
    scrubRate: settings.scrubRate,
    memoryWaitMsMax: MEMORY_WAIT_MS_MAX,
    samplers: await loadSamplers(settings.sampler, { load: loadModule, log: env.log }),
    budget: { rowsMax: settings.rowsMax, bytesMax: settings.bytesMax },
    ...sizes,
  });
  app.node = opened.node;
  const ms = Math.round(clock.nowMs() - startedMs);
  env.log.info({ ...opened.recovery, ms }, 'recovered');
  opened.node.parts.arena.touchInBackground(TOUCH_STEP);
  return { url: app.url, stop: () => stop(listener, opened) };
}

/** A segment is a sixteenth of the memory, so that several can be active while others are read. */
function sizesOf(memorySize: number): {
  frameSize: number;
  blockCacheSize: number;
  putBodySizeMax: number;
  answerSizeMax: number;
} {
  const wanted = Math.floor(memorySize / FRAMES_PER_ARENA / FRAME_SIZE_MIN) * FRAME_SIZE_MIN;
  const frameSize = Math.min(Math.max(wanted, FRAME_SIZE_MIN), FRAME_SIZE_MAX);
  const blockCacheSize = Math.floor(memorySize / BLOCK_CACHE_SHARE / FRAME_SIZE_MIN) * FRAME_SIZE_MIN;
  return {
    frameSize,
    blockCacheSize,
    putBodySizeMax: Math.min(limits.putBodyBytesMax, Math.floor(memorySize / 2)),
    answerSizeMax: limits.answerBytesMax,
  };
}

function urlOf({ host, port }: HttpListener): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function stop(listener: HttpListener, opened: OpenedNode): Promise<void> {
  opened.node.refuseWaits();
  await listener.stop(STOP_GRACE_MS);
  await opened.close();
}
