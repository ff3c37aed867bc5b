/** What the manifest of the tree says: where the journal is read from, and which files lie in which level. */
import { createLsmMemory } from '@transfer-queue/core/lsm';
import type { CheckpointMark } from '../engine/checkpoint.ts';
import type { Env } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import { idOfRowKey, partitionOf, PREFIX_SIZE, rowPrefix } from '../index/keys.ts';
import { recordKinds } from '../index/records.ts';
import { journalBegin, type JournalStart } from '../journal/scan.ts';
import { MANIFEST_NAME, type Manifest } from '../tree/manifest.ts';
import { readManifest } from '../tree/manifest_file.ts';
import { sstName } from '../tree/sst_format.ts';
import { EXIT_PROBLEMS, InspectError } from './directory.ts';

/** Null before the first start has made one. Rejects with a `RecoveryError` when it is damaged. */
export async function manifestOf(env: Env, directory: string): Promise<Manifest | null> {
  const folder = `${directory}/tree`;
  const names = await env.fs.list(folder).catch((): string[] => []);
  if (!names.includes(MANIFEST_NAME)) return null;
  return readManifest({ env, memory: createLsmMemory(), directory: folder });
}

/** Where a start reads the journal from. */
export function startOfJournal(manifest: Manifest | null): JournalStart {
  const mark = (manifest?.checkpoint ?? null) as CheckpointMark | null;
  if (mark === null) return journalBegin;
  const { journalFile, lsn, bootId, timestamp } = mark;
  return { file: journalFile, lsn, bootId, timestamp };
}

/** As the above, for those who only look. */
export async function journalStart(env: Env, directory: string): Promise<JournalStart> {
  return startOfJournal(await readableManifest(env, directory));
}

export async function readableManifest(env: Env, directory: string): Promise<Manifest | null> {
  try {
    return await manifestOf(env, directory);
  } catch (error) {
    if (!(error instanceof RecoveryError)) throw error;
    throw new InspectError(`a start would be refused: ${error.message}; see tq verify`, EXIT_PROBLEMS);
  }
}

export interface LevelFile {
  readonly level: number;
  /** Of level 0: files of one flush share it, higher is newer. */
  readonly run: number;
  readonly file: string;
  readonly size: number;
  readonly entries: number;
  readonly first: string;
  readonly last: string;
  readonly lsnMin: number;
  readonly lsnMax: number;
}

/** As a reader searches them: level 0 from the newest run, deeper levels by key. */
export function listLevels(manifest: Manifest | null): LevelFile[] {
  const files = [...(manifest?.files ?? [])];
  files.sort((a, b) => a.level - b.level || b.run - a.run || Buffer.compare(a.first, b.first));
  return files.map(({ level, run, number, size, entries, first, last, lsnMin, lsnMax }) => {
    const keys = { first: keyText(first), last: keyText(last) };
    return { level, run, file: sstName(number), size, entries, ...keys, lsnMin, lsnMax };
  });
}

const kinds = new Map(Object.entries(recordKinds).map(([name, number]) => [number as number, name]));

/** A key in words: `row 7 of #2`, `queue of #2`; in hexadecimal when it is neither. */
export function keyText(key: Uint8Array): string {
  if (key.length <= PREFIX_SIZE) return Buffer.from(key).toString('hex');
  const partition = partitionOf(key);
  const isRow = Buffer.compare(key.subarray(0, PREFIX_SIZE), rowPrefix(partition)) === 0;
  if (isRow) return `row ${idOfRowKey(key)} of #${partition}`;
  const kind = kinds.get(key[PREFIX_SIZE]);
  return kind === undefined ? Buffer.from(key).toString('hex') : `${kind} of #${partition}`;
}
