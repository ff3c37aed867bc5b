/**
 * One life of a simulated node: it starts on a disk, its clients act, and it ends by a crash of its own, by a stop, or
 * in the middle of work. The disk records all of it, the start included.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import { simEnv, type Disk, type DiskOp, type SimEnv, type SimFs } from '../support/sim_env.ts';
import { newNote, type History, type Note } from './history.ts';
import { cellsOf } from './observe.ts';
import { openSimNode } from './open.ts';
import { patiently, WAIT_MS } from './patience.ts';
import { cellsSeen, PARTITIONS, Workload } from './workload.ts';

/** Wraps the world of a node, to plant a bug in it. */
export type Plant = (env: SimEnv) => SimEnv;

export interface LifeOptions {
  readonly fs: SimFs;
  readonly random: () => number;
  readonly life: number;
  readonly steps: number;
  /** Of the lives before. */
  readonly notes: readonly Note[];
  /** Whether the disk holds nothing that was not synced. */
  readonly allDurable: boolean;
  readonly plant: Plant;
  readonly faults: Faults;
}

/** How likely a life is to meet what goes wrong with disks. */
export interface Faults {
  /** A sync fails, and the pages count as clean. */
  readonly sync: number;
  /** A write fails, and leaves a part of itself. */
  readonly write: number;
  readonly read: number;
  /** The disk is full for a while. */
  readonly full: number;
}

export const FAULTS: Faults = { sync: 0.15, write: 0.1, read: 0.2, full: 0.2 };

export interface Life {
  /** The disk as it was before. */
  readonly disk: Disk;
  readonly trace: readonly DiskOp[];
  readonly history: History;
  /** Why the process ended itself although no disk failed; null as a rule. */
  readonly crash: string | null;
}

/** How many steps a full disk stays full. */
const FULL_STEPS = 12;

export async function live(options: LifeOptions): Promise<Life> {
  const { fs, random, life, plant } = options;
  const disk = fs.record();
  const { env, crashed } = mortal(plant(simEnv({ fs, seed: 1 + Math.floor(random() * 1e9) })));
  const notes = [...options.notes];
  const opening = patiently(openSimNode(env), () => (env.crashes.length > 0 ? null : env.clock.advance(WAIT_MS)));
  const opened = await Promise.race([opening, crashed.then(() => null)]);
  if (opened === null) return stillborn(disk, fs, { life, notes, end: await crashed });
  const openedAt = fs.disk.opCount;
  if (life > 0) {
    const shown = await cellsOf(opened.node);
    const at = options.allDurable ? disk.opCount : openedAt;
    for (const partition of Object.keys(PARTITIONS)) notes.push(seen({ partition, life, at }, shown));
  }
  const { journal } = opened.node.parts;
  const durable = [{ at: openedAt, lsn: journal.durableLsn }];
  fs.onChange = () => {
    if (journal.durableLsn > durable.at(-1)!.lsn) durable.push({ at: fs.disk.opCount, lsn: journal.durableLsn });
  };
  const workload = new Workload({ env, node: opened.node, random, life, notes });
  const ends = work(workload, env, options).then(() => (random() < 0.25 ? workload.ended(opened.close()) : undefined));
  const end = await Promise.race([ends.then(() => Infinity), crashed]);
  fs.onChange = () => undefined;
  const trace = fs.trace!.slice(0, end - disk.opCount);
  fs.trace = null;
  await opened.abandon();
  const hasFailed = fs.failures > 0;
  return {
    disk,
    trace,
    history: { life, notes, openedAt, durable },
    crash: hasFailed ? null : (env.crashes[0] ?? null),
  };
}

/** A life that ended in its start, by an error of the disk. */
function stillborn(disk: Disk, fs: SimFs, { life, notes, end }: { life: number; notes: Note[]; end: number }): Life {
  const trace = fs.trace!.slice(0, end - disk.opCount);
  fs.trace = null;
  return { disk, trace, history: { life, notes, openedAt: Infinity, durable: [] }, crash: null };
}

/** The same world; `crashed` resolves to the op index at which the process ended itself. */
function mortal(env: SimEnv): { env: SimEnv; crashed: Promise<number> } {
  let resolve: (at: number) => void;
  const crashed = new Promise<number>((settle) => (resolve = settle));
  const crash = (reason: string, cause: unknown): never => {
    resolve(env.fs.disk.opCount);
    return env.crash(reason, cause);
  };
  return { env: { ...env, crash }, crashed };
}

function seen(
  { partition, life, at }: { partition: string; life: number; at: number },
  shown: ReadonlyMap<string, string>,
): Note {
  const level: AckLevel = PARTITIONS[partition as keyof typeof PARTITIONS] === 'memory' ? 'memory' : 'disk';
  const cells = cellsSeen(partition, shown);
  return newNote({
    kind: 'seen',
    partition,
    level,
    life,
    begun: at,
    ended: at,
    outcome: 'ok',
    lsn: 0,
    lsnMin: 0,
    cells,
  });
}

/** Acts, several at once, and what goes wrong with the disk meanwhile. */
async function work(workload: Workload, { fs, crashes }: SimEnv, options: LifeOptions): Promise<void> {
  const { random, steps, faults } = options;
  const chance = (probability: number): number => (random() < probability ? Math.floor(random() * steps) : -1);
  const syncFailsAt = chance(faults.sync);
  const writeFailsAt = chance(faults.write);
  const readFailsAt = chance(faults.read);
  const fullFrom = chance(faults.full);
  await workload.ended(workload.declareAll());
  const flying: Promise<void>[] = [];
  for (let step = 0; step < steps && crashes.length === 0; step++) {
    const code = 'EIO';
    if (step === syncFailsAt) fs.faults.push({ action: 'datasync', path: /./, code, times: 1, marksClean: true });
    if (step === writeFailsAt) {
      fs.faults.push({ action: 'write', path: /./, code, times: 1, partial: Math.floor(random() * 1_000) });
    }
    if (step === readFailsAt) fs.faults.push({ action: 'read', path: /./, code, times: 1 });
    if (step === fullFrom) fs.capacity = fs.usedSize + Math.floor(random() * 30_000);
    if (step === fullFrom + FULL_STEPS) fs.capacity = Infinity;
    const act = workload.act();
    flying.push(act);
    if (random() < 0.7) await workload.ended(act);
  }
  await workload.ended(Promise.all(flying));
  fs.faults = [];
  fs.capacity = Infinity;
}
