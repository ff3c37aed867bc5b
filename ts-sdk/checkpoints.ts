/**
 * Saves the queues of a server into a directory, and loads them from there.
 *
 *   save   snapshot with state --per partition--> state, rows by ids at its LSN, blobs --> files --> manifest
 *   load   manifest, every file checked --> load of the server: state, blobs, rows --per partition--> commit
 *
 * Invariants: what is saved is the state of one LSN, while producers and consumers go on; a load that fails, or whose
 * process dies, leaves the server as it was. Claims are no part of a checkpoint: their rows are unclaimed in it.
 */
import { arrowBody } from './body.ts';
import { namedBlobs, readBlobs, uploadBlobs } from './checkpoint_blobs.ts';
import {
  CheckpointWriter,
  FILE_SIZE,
  filesOf,
  readManifest,
  readSaved,
  type Manifest,
  type SavedFile,
  type SavedPartition,
} from './checkpoint_files.ts';
import { catalogueError, clientError, TransferQueueError } from './errors.ts';
import type { CallOptions } from './options.ts';
import type { Call, Wire } from './wire.ts';

export interface SaveCheckpointOptions extends CallOptions {
  /** A JSON value to keep with the checkpoint, such as the step of the training. Default null. */
  readonly metadata?: unknown;
  /** Names. Default: all partitions but those of ack level `memory`, which are not saved. */
  readonly partitions?: readonly string[];
}

export interface LoadCheckpointOptions extends CallOptions {
  /** Names. Default: all of the checkpoint. */
  readonly partitions?: readonly string[];
  /** Drop partitions of the same names, with their rows and claims, as the loaded ones appear. Default false. */
  readonly replace?: boolean;
}

/** What a directory holds. */
export interface Checkpoint {
  /** What the saver gave. */
  readonly metadata: unknown;
  /** LSN of the state that was saved, at the server that it was saved from. */
  readonly lsn: number;
  /** The number of rows of each partition, by name. */
  readonly partitions: Readonly<Record<string, number>>;
  /** Partitions that were not saved because their ack level is `memory`. */
  readonly leftOut: readonly string[];
}

const ROWS_FIRST = 256;
/** A file becomes one put of a load, which happens in one turn of the server's loop: so many rows take a few ms. */
const ROWS_MAX = 8_192;
/** What is held or staged at the server goes this long after a client died. */
const LEASE_MS = 120_000;
/** Renewals come this often, also while a call is under way. */
const RENEWALS_PER_LEASE = 4;
/** The server makes a checkpoint of its own before it answers, or compares all rows with a state. */
const WORK_MS = 600_000;
const STATE_MAGIC = 'TQSTATE\n';

/** Rows that have the same fields, in the order of their arrival. */
interface RowSet {
  readonly fields: readonly string[];
  readonly ids: readonly number[];
}

interface Opened {
  readonly snapshot: string;
  readonly lsn: number;
  readonly partitions: readonly string[];
  readonly left_out: readonly string[];
}

/** The node that holds something for us. */
interface Session {
  readonly wire: Wire;
  readonly url: string;
  readonly signal: AbortSignal | undefined;
}

export async function saveCheckpoint(
  wire: Wire,
  directory: string,
  options: SaveCheckpointOptions,
): Promise<Checkpoint> {
  const { metadata = null, partitions, signal } = options;
  const url = await onlyNode(wire, signal);
  const json = { lease_ms: LEASE_MS, state: true };
  const answer = await wire.sendForJson({ url, route: 'openSnapshot', json, waitMs: WORK_MS, signal });
  const { snapshot, lsn, partitions: all, left_out: leftOut } = answer as unknown as Opened;
  const call = { url, names: { snapshot } };
  const session = { wire, url, signal };
  const stopRenewing = renewOften(wire, { ...call, route: 'renewSnapshot' });
  try {
    const missing = partitions?.filter((name) => !all.includes(name)) ?? [];
    if (missing.length > 0) throw catalogueError('partition_unknown', undefined, { partitions: missing });
    const writer = await CheckpointWriter.begin(directory);
    try {
      const saved: SavedPartition[] = [];
      for (const [place, name] of (partitions ?? all).entries())
        saved.push(await savePartition(session, writer, { place, name, lsn, snapshot }));
      const left = partitions === undefined ? leftOut : [];
      return checkpointOf(await writer.commit({ lsn, metadata, left_out: left, partitions: saved }));
    } catch (error) {
      await writer.discard();
      throw error;
    }
  } finally {
    stopRenewing();
    await wire.send({ ...call, route: 'closeSnapshot' }).catch(passRefusal);
  }
}

async function savePartition(
  session: Session,
  writer: CheckpointWriter,
  { place, name, lsn, snapshot }: { place: number; name: string; lsn: number; snapshot: string },
): Promise<SavedPartition> {
  const { wire, url, signal } = session;
  const names = { snapshot, partition: name };
  const { bytes } = await wire.send({ url, route: 'snapshotState', names, waitMs: WORK_MS, signal });
  const sets = rowSets(bytes);
  const state = await writer.write(`${place}.state`, bytes);
  const files: SavedFile[] = [];
  const digests = new Set<string>();
  for (const set of sets) {
    for await (const [rows, count] of readPieces(session, { partition: name, lsn }, set)) {
      files.push(await writer.write(`${place}-${files.length}.arrow`, rows, count));
      for (const digest of namedBlobs(rows)) digests.add(digest);
    }
  }
  const blobs: SavedFile[] = [];
  for await (const [content, count] of readBlobs({ ...session, partition: name }, [...digests]))
    blobs.push(await writer.write(`${place}-b${blobs.length}.arrow`, content, count));
  return { name, rows: sets.reduce((sum, { ids }) => sum + ids.length, 0), state, files, blobs };
}

/** The rows in answers of about `FILE_SIZE` bytes, each with its number of rows. */
async function* readPieces(
  { wire, url, signal }: Session,
  { partition, lsn }: { partition: string; lsn: number },
  { fields, ids }: RowSet,
): AsyncGenerator<[rows: Uint8Array, count: number]> {
  const { readRowsMax } = await wire.limits(signal);
  let count = ROWS_FIRST;
  for (let at = 0; at < ids.length;) {
    const some = ids.slice(at, at + count);
    const json = { ids: some, fields, lsn };
    const answer = await wire.send({ url, route: 'read', names: { partition }, json, signal }).catch(passTooLarge);
    if (answer === null) {
      if (some.length === 1) throw catalogueError('answer_too_large', undefined, { partition, id: some[0] });
      count = Math.floor(some.length / 2);
      continue;
    }
    yield [answer.bytes, some.length];
    at += some.length;
    const fitting = Math.floor((FILE_SIZE * some.length) / Math.max(1, answer.bytes.length));
    count = Math.max(1, Math.min(fitting, 4 * count, ROWS_MAX, readRowsMax));
  }
}

export async function loadCheckpoint(
  wire: Wire,
  directory: string,
  { partitions, replace = false, signal }: LoadCheckpointOptions,
): Promise<Checkpoint> {
  const manifest = await readManifest(directory);
  const known = manifest.partitions.map(({ name }) => name);
  const missing = partitions?.filter((name) => !known.includes(name)) ?? [];
  if (missing.length > 0)
    throw catalogueError('partition_unknown', 'The checkpoint has no partition of this name.', { partitions: missing });
  const wanted = manifest.partitions.filter(({ name }) => partitions?.includes(name) ?? true);
  // Nothing is sent before all of it was found whole.
  for (const partition of manifest.partitions)
    for (const saved of filesOf(partition)) await readSaved(directory, manifest, saved);
  if (wanted.length === 0) return checkpointOf(manifest);
  const url = await onlyNode(wire, signal);
  const { load } = await wire.sendForJson({ url, route: 'openLoad', json: { lease_ms: LEASE_MS }, signal });
  const call = { url, names: { load: load as string } };
  const session = { wire, url, signal };
  const stopRenewing = renewOften(wire, { ...call, route: 'renewLoad' });
  try {
    for (const partition of wanted) await stage(session, load as string, { directory, manifest, partition });
    await wire.send({ ...call, route: 'commitLoad', json: { replace }, waitMs: WORK_MS, signal });
  } finally {
    stopRenewing();
    await wire.send({ ...call, route: 'closeLoad' }).catch(passRefusal);
  }
  return checkpointOf(manifest);
}

/** Sends a partition to where nobody sees it: its blobs before the rows that name them. */
async function stage(
  { wire, url, signal }: Session,
  load: string,
  { directory, manifest, partition }: { directory: string; manifest: Manifest; partition: SavedPartition },
): Promise<void> {
  const names = { load, partition: partition.name };
  const raw = await readSaved(directory, manifest, partition.state);
  const answer = await wire.sendForJson({ url, route: 'stage', names, raw, waitMs: WORK_MS, signal });
  const staging = answer.staging as string;
  for (const saved of partition.blobs ?? []) {
    await uploadBlobs({ wire, url, signal, partition: staging }, await readSaved(directory, manifest, saved));
  }
  for (const saved of partition.files) {
    const body = arrowBody([await readSaved(directory, manifest, saved)], { tail: true });
    await wire.send({ url, route: 'put', names: { partition: staging }, body, signal });
  }
}

/** Until the function that it returns is called. A lease that is lost is told by the call that needs it. */
function renewOften(wire: Wire, renewal: Call): () => void {
  const json = { lease_ms: LEASE_MS };
  const renew = (): void => void wire.send({ ...renewal, json }).catch(() => undefined);
  const timer = setInterval(renew, LEASE_MS / RENEWALS_PER_LEASE);
  // The call that is under way holds the process.
  timer.unref();
  return () => clearInterval(timer);
}

/** Which rows have which fields, as a state says. */
export function rowSets(state: Uint8Array): RowSet[] {
  const text = new TextDecoder();
  const view = new DataView(state.buffer, state.byteOffset, state.length);
  if (text.decode(state.subarray(0, STATE_MAGIC.length)) !== STATE_MAGIC)
    throw clientError('answer_invalid', 'The state of a partition is not understood.');
  let at = STATE_MAGIC.length + 4;
  const headerEnd = at + view.getUint32(STATE_MAGIC.length, true);
  const header = JSON.parse(text.decode(state.subarray(at, headerEnd))) as {
    readonly sets: readonly { readonly fields: readonly string[]; readonly rows: number }[];
  };
  at = headerEnd;
  return header.sets.map(({ fields, rows }) => {
    const ids = Array.from({ length: rows }, (_, i) => Number(view.getBigInt64(at + 8 * i, true)));
    at += 8 * rows;
    return { fields, ids };
  });
}

export function checkpointOf({ metadata, lsn, partitions, left_out: leftOut }: Manifest): Checkpoint {
  return { metadata, lsn, partitions: Object.fromEntries(partitions.map(({ name, rows }) => [name, rows])), leftOut };
}

async function onlyNode(wire: Wire, signal: AbortSignal | undefined): Promise<string> {
  const { nodes } = await wire.shards(signal);
  if (nodes.length === 1) return nodes[0].url;
  throw clientError('input_invalid', 'Checkpoints are of one node; connect to each node by itself.');
}

/** Where it fails the lease ends by itself. */
function passRefusal(error: unknown): void {
  if (!(error instanceof TransferQueueError)) throw error;
}

function passTooLarge(error: unknown): null {
  if (error instanceof TransferQueueError && error.code === 'answer_too_large') return null;
  throw error;
}
