/**
 * S6: a bit flips anywhere in a data directory. Whatever it hits, no wrong byte is served and no acknowledged row
 * vanishes without a word: the flip is harmless, or a start is refused, or a read fails with a typed error, or recovery
 * reports a cut, of the last record only. And `tq verify` finds whatever is not harmless.
 *
 * TQ_LONG=1 runs 100,000 flips, SEED=n other ones. The reserve is left out: nobody reads its bytes.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { describe as describePartition } from '../../server/engine/partitions.ts';
import type { Node } from '../../server/engine/node.ts';
import type { Recovery } from '../../server/engine/open.ts';
import { read } from '../../server/engine/read.ts';
import { RecoveryError, StoreError } from '../../server/errors.ts';
import { caller, valuesOf } from '../support/node.ts';
import { isLong, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { seededRandom, type SimFs } from '../support/sim_env.ts';
import { recordOffsets } from '../server/journal/files.ts';
import { DIR, flipped, makeDirectory, openOn, pathsIn, verifyOn } from '../server/inspect/made.ts';

const FLIPS = isLong ? 100_000 : 2_000;
const SEED = seedOr(1);
const ROWS_MAX = 10_000;

const directories = [
  {},
  { killed: true },
  { checkpoint: true },
  { checkpoint: true, killed: true },
  { checkpoint: true, rows: 4_000 },
] as const;
const folders = ['journal', 'segments', 'tree'] as const;

/** `verified`: no client notices, and verify does. The last two must not be. */
type Outcome = 'harmless' | 'verified' | 'typed' | 'cut' | 'refused' | 'silent' | 'failed';

/** All that clients can see: rows by partition and field, and the counts of the queue. */
type Seen = ReadonlyMap<string, string>;

interface Look {
  readonly seen: Seen;
  /** Reads that failed with a typed error. */
  readonly typed: number;
  readonly recovery: Recovery;
}

async function look(node: Node): Promise<Omit<Look, 'recovery'>> {
  const seen = new Map<string, string>();
  let typed = 0;
  for (const partition of node.parts.state.store.partitions()) {
    const { name } = partition.settings;
    const { lsn: _, ...description } = describePartition(node, partition);
    seen.set(name, JSON.stringify(description));
    for (const field of partition.fields) {
      const select = { by: 'range', start: 0, end: 2 ** 53, rowsMax: ROWS_MAX } as const;
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

async function lookAfterStart(fs: SimFs): Promise<Look | 'refused'> {
  try {
    const { node, recovery, abandon } = await openOn(fs);
    return { ...(await look(node).finally(abandon)), recovery };
  } catch (error) {
    if (error instanceof RecoveryError || error instanceof StoreError) return 'refused';
    throw error;
  }
}

/** What clients see of a flip. `lastRecord` is where the last record of the journal begins. */
function judge(before: Seen, after: Look | 'refused', lastRecord: number): Outcome {
  if (after === 'refused') return 'refused';
  const { seen, typed, recovery } = after;
  if (recovery.cut !== null) return recovery.cut.offset === lastRecord ? 'cut' : 'silent';
  const isOther = [...seen].some(([name, value]) => before.get(name) !== value);
  if (isOther || before.size !== seen.size + typed) return 'silent';
  return typed > 0 ? 'typed' : 'harmless';
}

interface Made {
  readonly fs: SimFs;
  readonly seen: Seen;
  readonly lastRecord: number;
}

async function outcomeOf({ seen, lastRecord }: Made, fs: SimFs): Promise<Outcome> {
  const { isSound } = await verifyOn(fs);
  const outcome = judge(seen, await lookAfterStart(fs), lastRecord);
  if (outcome === 'harmless') return isSound ? 'harmless' : 'verified';
  return isSound ? 'silent' : outcome;
}

describe('a bit flips', () => {
  const made: Made[] = [];
  beforeAll(async () => {
    for (const options of directories) {
      const fs = await makeDirectory(options);
      const after = await lookAfterStart(fs.afterCrash());
      if (after === 'refused') throw new Error('an undamaged directory is refused');
      const journal = fs.files.get(pathsIn(fs, 'journal').at(-1)!)!.current;
      made.push({ fs, seen: after.seen, lastRecord: recordOffsets(journal).at(-2)! });
    }
  });

  test(`${FLIPS} times, and no byte that is wrong is served`, { timeout: TIMEOUT_MS }, async () => {
    const random = seededRandom(SEED);
    const pick = (count: number): number => Math.floor(random() * count);
    const counts = new Map<string, number>();
    const wrong: string[] = [];
    let done = 0;
    while (done < FLIPS) {
      const directory = pick(made.length);
      const { fs } = made[directory];
      const folder = folders[pick(folders.length)];
      const paths = pathsIn(fs, folder);
      const path = paths[pick(paths.length)];
      const [at, bit] = [pick(fs.files.get(path)!.current.length), pick(8)];
      const fault: unknown[] = [];
      const outcome = await outcomeOf(made[directory], flipped(fs, path, at, bit)).catch((error: unknown) => {
        fault.push(error);
        return 'failed' as const;
      });
      done++;
      counts.set(`${folder} ${outcome}`, (counts.get(`${folder} ${outcome}`) ?? 0) + 1);
      if (outcome !== 'silent' && outcome !== 'failed') continue;
      const where = `${path.slice(DIR.length + 1)} byte ${at} bit ${bit} of directory ${directory}`;
      wrong.push([outcome, where, ...fault.map(String)].join(': '));
    }
    const printed = [...counts].sort().map(([what, count]) => `${what} ${count}`);
    console.log(`${FLIPS} flips, seed ${SEED}: ${printed.join(', ')}`);
    expect(wrong).toEqual([]);
    // A run in which nothing happened would prove nothing.
    for (const what of ['journal refused', 'journal cut', 'segments typed', 'tree refused', 'tree typed']) {
      expect(counts.get(what), what).toBeGreaterThan(0);
    }
  });
});
