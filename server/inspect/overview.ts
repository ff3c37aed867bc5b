/** What is in a directory, at a glance. */
import type { Env } from '../env/env.ts';
import { FORMAT_VERSION } from '../journal/format.ts';
import type { JournalStart } from '../journal/scan.ts';
import { machine } from '../queue/machine.ts';
import { filesOf, type FileKind } from './directory.ts';
import { readJournalFiles, tryStart, type JournalReading, type Refusal } from './reading.ts';
import type { Started } from './start.ts';

export interface PartitionSummary {
  readonly number: number;
  readonly name: string;
  readonly ack: string;
  readonly sealed: boolean;
  readonly fields: readonly string[];
  readonly rows: number;
  readonly extents: number;
  readonly bytes: number;
  readonly tasks: readonly TaskSummary[];
}

export interface TaskSummary {
  readonly task: string;
  readonly ready: number;
  readonly leased: number;
  readonly consumed: number;
  readonly incomplete: number;
  readonly dead: number;
  readonly skipped: number;
  readonly claims: number;
}

export interface Overview {
  readonly directory: string;
  readonly format: number;
  /** 0 when there is none. */
  readonly checkpointLsn: number;
  readonly lsn: number;
  readonly watermark: number;
  /** How often a server was started on it. */
  readonly epoch: number;
  readonly files: Readonly<Record<FileKind, { count: number; bytes: number }>>;
  /** Of the files that a start reads, and what it would make of their end. */
  readonly journal: Pick<JournalReading, 'files' | 'verdict'>;
  readonly partitions: readonly PartitionSummary[];
  readonly liveBytes: number;
  /** Why a start would be refused, besides what the journal says. */
  readonly refusals: readonly Refusal[];
}

export async function overviewOf(env: Env, directory: string, from: JournalStart): Promise<Overview> {
  const journal = await readJournalFiles({ env, directory, from });
  const { started, refusals } = await tryStart(env, directory, journal);
  const { progress } = journal;
  const partitions = started === null ? [] : partitionsOf(started);
  await started?.close();
  return {
    ...{ directory, format: FORMAT_VERSION, partitions },
    journal: { files: journal.files, verdict: journal.verdict },
    checkpointLsn: from.lsn,
    lsn: Math.max(progress.lsn, from.lsn),
    watermark: Math.max(progress.watermark, from.lsn),
    // The start that was tried is one more.
    epoch: started === null ? 0 : started.node.parts.epoch - 1,
    files: await countFiles(env, directory),
    liveBytes: partitions.reduce((sum, { bytes }) => sum + bytes, 0),
    refusals,
  };
}

async function countFiles(env: Env, directory: string): Promise<Overview['files']> {
  const kinds: readonly FileKind[] = ['journal', 'segment', 'tree', 'mark', 'reserve', 'lock', 'strange'];
  const files = await filesOf(env, directory);
  const of = (kind: FileKind): { count: number; bytes: number } => {
    const some = files.filter((file) => file.kind === kind);
    return { count: some.length, bytes: some.reduce((sum, { size }) => sum + size, 0) };
  };
  return Object.fromEntries(kinds.map((kind) => [kind, of(kind)])) as Overview['files'];
}

function partitionsOf({ node }: Started): PartitionSummary[] {
  const { state } = node.parts;
  return Array.from(state.store.partitions(), (partition) => {
    const { rows, sealed, tasks } = machine.stats(state.queue(partition));
    const { id, settings, fields, extents, bytes } = partition;
    return {
      ...{ number: id, name: settings.name, ack: settings.ack, sealed, rows, extents: extents.size, bytes },
      fields: fields.map(({ name }) => name),
      tasks: tasks.map(({ task, ready, leased, consumed, incomplete, dead, skipped, claims }) => {
        return { task, ready, leased, consumed, incomplete, dead, skipped, claims };
      }),
    };
  });
}
