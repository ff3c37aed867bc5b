/**
 * S6: a bit flips anywhere in a data directory. Whatever it hits, no wrong byte is served and no acknowledged row
 * vanishes without a word: the flip is harmless, or a start is refused, or a read fails with a typed error, or recovery
 * reports a cut. And `tq verify` finds whatever is not harmless.
 *
 * TQ_LONG=1 runs 100,000 flips, SEED=n other ones.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { describe as describePartition } from '../../server/engine/partitions.ts';
import type { Node } from '../../server/engine/node.ts';
import { read } from '../../server/engine/read.ts';
import { RecoveryError, StoreError } from '../../server/errors.ts';
import { caller, valuesOf } from '../support/node.ts';
import { seededRandom, type SimFs } from '../support/sim_env.ts';
import { DIR, flipped, makeDirectory, openOn, pathsIn, verifyOn } from '../server/inspect/made.ts';

const FLIPS = process.env.TQ_LONG === '1' ? 100_000 : 2_000;
const SEED = Number(process.env.SEED ?? 1);
const TIME_MS_MAX = process.env.TQ_LONG === '1' ? 3_600_000 : 120_000;
const ID_END = 2 ** 53;
const ROWS_MAX = 10_000;

/** What became of a flip, from the best to the worst. */
type Outcome = 'harmless' | 'verified' | 'typed' | 'cut' | 'refused' | 'silent';

/** All that clients can see: rows by partition and field, and the counts of the queue. */
type Seen = Map<string, string>;

async function look(node: Node): Promise<{ seen: Seen; typed: number }> {
  const seen: Seen = new Map();
  let typed = 0;
  for (const partition of node.parts.state.store.partitions()) {
    const { name } = partition.settings;
    const { lsn: _, ...description } = describePartition(node, partition);
    seen.set(name, JSON.stringify(description));
    for (const field of partition.fields) {
      const select = { by: 'range', start: 0, end: ID_END, rowsMax: ROWS_MAX } as const;
      try {
        const outcome = await read(node, { partition: name, select, fields: [field.name], waitMs: 0 }, caller);
        if (outcome.kind !== 'rows') throw new Error(`the read of a range ended as ${outcome.kind}`);
        seen.set(`${name}/${field.name}`, JSON.stringify(await valuesOf(node, outcome.located)));
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'data_corrupt') throw error;
        typed++;
      }
    }
  }
  return { seen, typed };
}

async function lookAfterStart(fs: SimFs): Promise<{ seen: Seen; typed: number; isCut: boolean } | 'refused'> {
  try {
    const { node, recovery } = await openOn(fs);
    const found = await look(node);
    return { ...found, isCut: recovery.cut !== null || recovery.voided.length > 0 };
  } catch (error) {
    if (error instanceof RecoveryError || error instanceof StoreError) return 'refused';
    throw error;
  }
}

/** What differs from what it was, less what a read refused. */
function isWrong(before: Seen, after: Seen, typed: number): boolean {
  for (const [name, value] of after) if (before.get(name) !== value) return true;
  return before.size !== after.size + typed;
}

async function outcomeOf(fs: SimFs, before: Seen): Promise<Outcome> {
  const { isSound } = await verifyOn(fs);
  const after = await lookAfterStart(fs);
  const outcome = judge(before, after);
  if (outcome === 'harmless') return isSound ? 'harmless' : 'verified';
  return isSound ? 'silent' : outcome;
}

function judge(before: Seen, after: Awaited<ReturnType<typeof lookAfterStart>>): Outcome {
  if (after === 'refused') return 'refused';
  if (after.isCut) return 'cut';
  if (isWrong(before, after.seen, after.typed)) return 'silent';
  return after.typed > 0 ? 'typed' : 'harmless';
}

const directories = [
  {},
  { killed: true },
  { checkpoint: true },
  { checkpoint: true, killed: true },
  { checkpoint: true, rows: 4_000 },
] as const;
const FOLDERS = ['journal', 'segments', 'tree'] as const;

interface Variant {
  readonly fs: SimFs;
  readonly seen: Seen;
}

describe('a bit flips', () => {
  const variants: Variant[] = [];
  beforeAll(async () => {
    for (const options of directories) {
      const fs = await makeDirectory(options);
      const after = await lookAfterStart(fs.afterCrash());
      if (after === 'refused') throw new Error('an undamaged directory is refused');
      variants.push({ fs, seen: after.seen });
    }
  });

  test(`${FLIPS} times, and no byte that is wrong is served`, { timeout: TIME_MS_MAX }, async () => {
    const random = seededRandom(SEED);
    const pick = (count: number): number => Math.floor(random() * count);
    const counts = new Map<string, number>();
    const silent: string[] = [];
    for (let flip = 0; flip < FLIPS; flip++) {
      const { fs, seen } = variants[flip % variants.length];
      const folder = FOLDERS[pick(FOLDERS.length)];
      const paths = pathsIn(fs, folder);
      if (paths.length === 0) continue;
      const path = paths[pick(paths.length)];
      const [at, bit] = [pick(fs.files.get(path)!.current.length), pick(8)];
      const outcome = await outcomeOf(flipped(fs, path, at, bit), seen);
      counts.set(`${folder} ${outcome}`, (counts.get(`${folder} ${outcome}`) ?? 0) + 1);
      if (outcome === 'silent')
        silent.push(`${path.slice(DIR.length + 1)} byte ${at} bit ${bit} of directory ${flip % variants.length}`);
    }
    console.log(
      `${FLIPS} flips, seed ${SEED}: ${[...counts]
        .sort()
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')}`,
    );
    expect(silent).toEqual([]);
    // A run in which nothing happens proves nothing.
    for (const what of ['journal refused', 'journal cut', 'segments typed'])
      expect(counts.get(what)).toBeGreaterThan(0);
  });
});
