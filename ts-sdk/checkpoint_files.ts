/**
 * The directory of a checkpoint: a manifest, and a directory of data that it names.
 *
 *   DIR/manifest.json                       one JSON object; its last member is the SHA-256 of all before ,"sha256":
 *   DIR/data-3f9c.../0.state                a partition without its cells, as the server gave it out
 *   DIR/data-3f9c.../0-0.arrow, 0-1.arrow   its rows, in Arrow IPC streams
 *   DIR/data-3f9c.../0-b0.arrow             the shared blobs that they name, in such streams too
 *
 * docs/CHECKPOINTS.md says what is in them; the Python client reads and writes the same. A save writes a data directory
 * of its own, syncs it, and then replaces the manifest by a rename; only after that the data that the manifest named
 * before is removed.
 *
 * Invariants: a directory shows the old checkpoint or the new one, whole, whenever a save is killed; every byte that is
 * read was checked against the manifest. One save at a time writes to a directory.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { clientError } from './errors.ts';

/** Files of about this size: small enough for one put to any server. */
export const FILE_SIZE = 8 << 20;

const FORMAT = 'transfer-queue checkpoint';
const VERSION = 1;
const MANIFEST = 'manifest.json';
const DATA_PREFIX = 'data-';
const SEAL = ',"sha256":"';
const HASH_LENGTH = 64;

export interface SavedFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly rows: number;
}

export interface SavedPartition {
  readonly name: string;
  readonly rows: number;
  readonly state: SavedFile;
  readonly files: readonly SavedFile[];
  /** Absent in a manifest from before there were blobs. */
  readonly blobs?: readonly SavedFile[];
}

export interface Manifest {
  readonly format: string;
  readonly version: number;
  readonly data: string;
  readonly lsn: number;
  readonly metadata: unknown;
  readonly left_out: readonly string[];
  readonly partitions: readonly SavedPartition[];
}

/** What the checkpoint of a directory is made of. Throws `checkpoint_invalid`. */
export async function readManifest(directory: string): Promise<Manifest> {
  const path = join(directory, MANIFEST);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw isMissing(error) ? invalid(path, 'there is no manifest') : error;
  });
  const sealAt = bytes.lastIndexOf(SEAL);
  const sealed = bytes.toString('latin1', sealAt + SEAL.length, sealAt + SEAL.length + HASH_LENGTH);
  if (sealAt === -1 || sha256(bytes.subarray(0, sealAt)) !== sealed) throw invalid(path, 'the manifest is damaged');
  const manifest = parse(path, bytes);
  const { format, version } = manifest;
  if (format !== FORMAT || version !== VERSION) throw invalid(path, `version ${version} of ${format} is not read here`);
  const names = manifest.partitions.flatMap(filesOf).map(({ file }) => file);
  if ([manifest.data, ...names].some((name) => basename(name) !== name || name === '..'))
    throw invalid(path, 'the manifest names files outside of its directory');
  return manifest;
}

function parse(path: string, bytes: Buffer): Manifest {
  try {
    return JSON.parse(bytes.toString()) as Manifest;
  } catch {
    throw invalid(path, 'the manifest is not understood');
  }
}

/** All files of a partition. */
export function filesOf({ state, files, blobs = [] }: SavedPartition): SavedFile[] {
  return [state, ...blobs, ...files];
}

/** The bytes of a file, checked. Throws `checkpoint_invalid`. */
export async function readSaved(directory: string, { data }: Manifest, saved: SavedFile): Promise<Uint8Array> {
  const path = join(directory, data, saved.file);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw isMissing(error) ? invalid(path, 'the file is not there') : error;
  });
  if (bytes.length !== saved.bytes || sha256(bytes) !== saved.sha256) throw invalid(path, 'the file is damaged');
  return bytes;
}

/** Writes the data of a new checkpoint beside the old one; `commit` makes it the checkpoint of the directory. */
export class CheckpointWriter {
  readonly #directory: string;
  readonly #data: string;
  #isCommitted = false;

  private constructor(directory: string, data: string) {
    this.#directory = directory;
    this.#data = data;
  }

  static async begin(directory: string): Promise<CheckpointWriter> {
    const data = `${DATA_PREFIX}${randomBytes(8).toString('hex')}`;
    await mkdir(join(directory, data), { recursive: true });
    return new CheckpointWriter(directory, data);
  }

  /** Writes and syncs a file. */
  async write(file: string, bytes: Uint8Array, rows = 0): Promise<SavedFile> {
    await writeSynced(join(this.#directory, this.#data, file), bytes);
    return { file, bytes: bytes.length, sha256: sha256(bytes), rows };
  }

  /** Syncs the directories, and replaces the manifest. */
  async commit(content: Omit<Manifest, 'format' | 'version' | 'data'>): Promise<Manifest> {
    const manifest = { format: FORMAT, version: VERSION, data: this.#data, ...content };
    const body = JSON.stringify(manifest).slice(0, -1);
    const path = join(this.#directory, MANIFEST);
    await syncDirectory(join(this.#directory, this.#data));
    await writeSynced(`${path}.new`, Buffer.from(`${body}${SEAL}${sha256(Buffer.from(body))}"}\n`));
    await syncDirectory(this.#directory);
    await rename(`${path}.new`, path);
    this.#isCommitted = true;
    await syncDirectory(this.#directory);
    const names = await readdir(this.#directory);
    const old = names.filter((name) => name.startsWith(DATA_PREFIX) && name !== this.#data);
    await Promise.allSettled(old.map((name) => this.#remove(name)));
    return manifest;
  }

  /** Removes what was written, unless the manifest names it: it is the checkpoint then, though a save failed later. */
  async discard(): Promise<void> {
    if (!this.#isCommitted) await this.#remove(this.#data);
  }

  #remove(name: string): Promise<void> {
    return rm(join(this.#directory, name), { recursive: true, force: true });
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Windows syncs no directories: its file systems journal renames themselves. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'ENOENT';
}

function invalid(path: string, reason: string): Error {
  return clientError('checkpoint_invalid', undefined, { details: { path, reason } });
}
