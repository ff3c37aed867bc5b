/**
 * Crashes of a tree at every change of its files: a recorded run is replayed op by op, and the tree is opened from all
 * that a crash may leave at that moment.
 *
 * What must hold: the tree opens; its checkpoint is that of the last flush that had ended, or of the one under way; its
 * content is that of this checkpoint, entry by entry. A compaction changes nothing of it.
 */

import { readFileSync } from 'node:fs';
import type { Tree } from '../../../server/tree/api.ts';
import { verifyTree } from '../../../server/tree/verify.ts';
import { crashImages, signature } from '../../support/sim/crash_images.ts';
import type { DiskOp } from '../../support/sim/disk.ts';
import { seededRandom, simEnv, SimFs } from '../../support/sim_env.ts';
import { bytesOf, DIRECTORY, entriesOf, Model, openSmall, picker } from './support.ts';

const core = new WebAssembly.Module(readFileSync(new URL('../../../core/core.wasm', import.meta.url)));
const sizes = { core, level0Size: 24 << 10, level0RunsMax: 3, fileSize: 8 << 10, pieceFilesMax: 1 };
const KEYS = 300;
const WRITES_PER_ROUND = 60;
/** With values of this size a round is a block or two. */
const VALUE_SIZE = 900;

/** A moment of the run after which a crash may show this round. */
interface Flush {
  readonly begunAt: number;
  endedAt: number;
  readonly content: readonly string[];
}

export interface Run {
  readonly disk: ReturnType<SimFs['record']>;
  readonly trace: readonly DiskOp[];
  /** flushes[r - 1] is that of round r. */
  readonly flushes: readonly Flush[];
}

/** Rounds of writes, flushes and compactions; `change` plants a bug. */
export async function record(
  rounds: number,
  seed: number,
  change: (fs: SimFs) => void = () => undefined,
): Promise<Run> {
  const fs = new SimFs();
  change(fs);
  const disk = fs.record();
  const pick = picker(seededRandom(seed));
  const model = new Model();
  const flushes: Flush[] = [];
  let tree = await openSmall(simEnv(fs), sizes);
  for (let round = 1; round <= rounds; round++) {
    writeRound(tree, model, round, pick);
    const flush = { begunAt: fs.trace!.length, endedAt: Infinity, content: model.entries() };
    flushes.push(flush);
    tree.rotate();
    await tree.flush({ round });
    flush.endedAt = fs.trace!.length;
    if (pick(2) === 0) await tree.compacted();
    if (pick(6) > 0) continue;
    await tree.close();
    tree = await openSmall(simEnv(fs), sizes);
  }
  await tree.compacted();
  await tree.close();
  return { disk, trace: fs.trace!, flushes };
}

function writeRound(tree: Tree, model: Model, round: number, pick: (count: number) => number): void {
  for (let i = 0; i < WRITES_PER_ROUND; i++) {
    const key = `k${String(pick(KEYS)).padStart(3, '0')}`;
    const value = pick(3) === 0 ? null : `${round}.${i}`.padEnd(pick(VALUE_SIZE), '.');
    model.write(key, value, round);
    if (value === null) tree.delete(bytesOf(key), round);
    else tree.put(bytesOf(key), bytesOf(value), round);
  }
}

export interface Judged {
  readonly states: number;
  /** The first crash that was not survived. */
  readonly failure: string | null;
}

/** Opens the tree from all images of all moments, each different one once. */
export async function judge({ disk, trace, flushes }: Run, seed: number): Promise<Judged> {
  const random = seededRandom(seed);
  const seen = new Set<string>();
  for (let at = 0; at <= trace.length; at++) {
    if (at > 0) disk.apply(trace[at - 1]);
    const begun = (op: DiskOp): op is Extract<DiskOp, { kind: 'write' }> => op.kind === 'write' && op.begun <= at;
    const moment = { disk, boot: 'boot-1', flying: trace.slice(at).filter(begun), random, cutsMax: 4 };
    for (const image of crashImages(moment)) {
      const fs = image.make();
      const name = signature(fs);
      if (seen.has(name)) continue;
      seen.add(name);
      try {
        await check(fs, flushes, at, seen.size % 10 === 0);
      } catch (error) {
        return { states: seen.size, failure: `op ${at}, ${image.label}: ${String(error)}` };
      }
    }
  }
  return { states: seen.size, failure: null };
}

async function check(fs: SimFs, flushes: readonly Flush[], at: number, isDeep: boolean): Promise<void> {
  const tree = await openSmall(simEnv(fs), sizes);
  const round = Number(tree.checkpoint?.['round'] ?? 0);
  const least = flushes.findLastIndex(({ endedAt }) => endedAt <= at) + 1;
  const most = flushes.findLastIndex(({ begunAt }) => begunAt <= at) + 1;
  if (round < least || round > most) throw new Error(`round ${round}, not ${least} to ${most}`);
  const expected = (flushes[round - 1]?.content ?? []).join('\n');
  if ((await entriesOf(tree)).join('\n') !== expected) throw new Error(`the content is not that of round ${round}`);
  if (isDeep) {
    tree.put(bytesOf('later'), bytesOf('value'), round + 1);
    tree.rotate();
    await tree.flush({ round });
    await tree.compacted();
  }
  await tree.close();
  if (!isDeep) return;
  const { problems } = await verifyTree(simEnv(fs), DIRECTORY, undefined, core);
  if (problems.length > 0) throw new Error(`${problems[0].file}: ${problems[0].what}`);
}
