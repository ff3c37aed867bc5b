/** A node whose segments are compacted as eagerly as can be, with what tests of its space ask of it. */
import { expect } from 'vitest';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { SegmentCompaction } from '../../../server/engine/segment_compaction.ts';
import { composeAnswer } from '../../../server/store/answer.ts';
import { locate, type Located } from '../../../server/store/locate.ts';
import { AnswerWindows } from '../../../server/store/windows.ts';
import type { Run } from '../../../server/tier/arena.ts';
import { declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

export const DIR = '/data';
export const MEMORY_SIZE = 12 << 20;

export interface SpaceWorld {
  readonly env: SimEnv;
  readonly node: Node;
  readonly compaction: SegmentCompaction;
}

export async function newWorld(env: SimEnv = simEnv(SimFs.withReserve(DIR))): Promise<SpaceWorld> {
  const world = await openWorld(env);
  await declareTest(world.node, 'p');
  return world;
}

export async function openWorld(env: SimEnv): Promise<SpaceWorld> {
  const { node } = await openTestNode(env, DIR, MEMORY_SIZE);
  return { env, node, compaction: compactionOf(node) };
}

/** One more compaction beside the node's own, which waits for lanes to be idle. */
export function compactionOf(node: Node): SegmentCompaction {
  const { env, core, segments, damage, arena } = node.parts;
  return new SegmentCompaction({
    ...{ env, core, segments, damage },
    largeSize: arena.frameSize,
    laneIdleMs: 0,
    commit: (event) => node.commit(event, 'os').commit,
  });
}

/** A value that says whose it is. */
export function valueOf(id: number, version: number, size: number): string {
  return `${id}/${version}/`.padEnd(size, String(version % 10));
}

export async function putRow(node: Node, id: number, size: number, version = 0): Promise<void> {
  await putText(node, 'p', [id], 'a', [valueOf(id, version, size)]);
}

export async function remove(node: Node, ids: readonly number[]): Promise<void> {
  await deleteRows(node, 'p', { ids: Float64Array.from(ids), requestId: '' });
}

/** Lets the compaction do all that there is to do, in simulated time, and frees what died by it. */
export async function compact({ env, node, compaction }: SpaceWorld): Promise<void> {
  for (let round = 0; round < 8; round++) {
    compaction.tick();
    let isDone = false;
    void compaction.idle().then(() => (isDone = true));
    for (let turn = 0; turn < 2_000 && !isDone; turn++) await env.clock.advance(50);
    expect(isDone).toBe(true);
    await node.makeDurable();
  }
}

/** A read of the row is refused, with words about where the damage is. */
export async function expectCorrupt(node: Node, id: number): Promise<void> {
  const { state } = node.parts;
  const partition = node.partition('p');
  const located = await locate(state.store, partition, { ids: Float64Array.of(id), fields: partition.fields });
  const segment = located.batches[0].extent.place.segment.id;
  const refusal = await readWhole(node, located).catch((error: unknown) => error);
  expect(refusal).toMatchObject({
    code: 'data_corrupt',
    details: { partition: 'p', segment, cells: [{ field: 'a' }] },
  });
}

async function readWhole({ parts: { reader, core } }: Node, located: Located): Promise<void> {
  let windows: AnswerWindows | null = null;
  try {
    const pieces = await composeAnswer(reader, located, { answerSizeMax: 1 << 30, attempts: null });
    windows = new AnswerWindows({ reader, located, pieces, core, tail: false });
    for (let sent = 0; sent < windows.size;) {
      const { parts, release } = await windows.next();
      for (const part of parts) sent += part.length;
      release();
    }
  } finally {
    windows?.close();
    located.close();
  }
}

/** Leaves nothing of what is cached in frames: reads are cold afterwards. */
export function evictAll({ parts: { arena } }: Node): void {
  const runs: Run[] = [];
  for (let run = arena.take(1); run !== null; run = arena.take(1)) runs.push(run);
  for (const run of runs) arena.release(run);
}

/** Bytes of all segment files. */
export function diskSize({ fs }: SimEnv): number {
  let size = 0;
  for (const [path, file] of fs.files) if (path.endsWith('.seg')) size += file.current.length;
  return size;
}

/** What must hold of the accounts of segments whenever nothing is under way. */
export function checkAccounts(node: Node): void {
  const { segments, state } = node.parts;
  let live = 0;
  for (const segment of segments.all()) {
    expect(segment.extents.size).toBe(segment.live);
    for (const extent of segment.extents) expect(extent.place.segment).toBe(segment);
    live += segment.live;
  }
  expect([...state.store.extents()]).toHaveLength(live);
}

export { settle };
