/**
 * Reads all of a tree and says what is wrong with it: every byte against its checksum, every entry against the order,
 * the index, the filter and the manifest. It changes nothing, goes on after what it finds, and needs no running tree.
 */
import {
  BATCH_KEYS_MAX,
  checkBlock,
  checkFilter,
  checkIndex,
  createLsmMemory,
  KeyBatch,
  SLOT_SIZE,
  type LsmMemory,
} from '@transfer-queue/core/lsm';
import { Sha256 } from '../env/digest.ts';
import type { Env } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import { placeBlock } from './block_cache.ts';
import { readBlock, readIndexValue, type BlockEntry } from './block_reader.ts';
import { CHECKSUM_SIZE } from './checksum.ts';
import { compareKeys } from './keys.ts';
import { levelsOf } from './levels.ts';
import { hexOf, MANIFEST_NAME, type Manifest, type SstRecord } from './manifest.ts';
import { readManifest } from './manifest_file.ts';
import { OpenFiles } from './open_files.ts';
import { decodeHeader, HEADER_SIZE, sstName, sstNumber } from './sst_format.ts';
import { openTable, type SstTable } from './sst_table.ts';

export interface TreeProblem {
  /** Name in the directory of the tree. */
  readonly file: string;
  readonly what: string;
  readonly offset?: number;
}

export interface TreeReport {
  readonly files: number;
  readonly size: number;
  readonly entries: number;
  readonly problems: readonly TreeProblem[];
}

export interface VerifyProgress {
  readonly doneSize: number;
  readonly wholeSize: number;
}

const READ_SIZE = 1 << 20;

export async function verifyTree(
  env: Env,
  directory: string,
  onProgress: (progress: VerifyProgress) => void = () => undefined,
  core?: WebAssembly.Module,
): Promise<TreeReport> {
  const memory = createLsmMemory(core);
  const names = await env.fs.list(directory);
  const problems: TreeProblem[] = [];
  const manifest = await loadManifest({ env, memory, directory }, names, problems);
  const report = { files: 0, size: 0, entries: 0, problems };
  if (manifest === null) return report;
  const wholeSize = manifest.files.reduce((sum, { size }) => sum + size, 0);
  const files = new OpenFiles(env);
  try {
    for (const record of manifest.files) {
      const check = new FileCheck({ env, memory, directory, files }, record, problems);
      report.entries += await check.run();
      report.files++;
      report.size += record.size;
      onProgress({ doneSize: report.size, wholeSize });
    }
  } finally {
    await files.closeAll();
  }
  return report;
}

async function loadManifest(
  place: { env: Env; memory: LsmMemory; directory: string },
  names: readonly string[],
  problems: TreeProblem[],
): Promise<Manifest | null> {
  if (!names.includes(MANIFEST_NAME)) {
    const lost = names.find((name) => sstNumber(name) !== null);
    if (lost !== undefined) problems.push({ file: lost, what: 'there are files and no manifest' });
    return null;
  }
  try {
    const manifest = await readManifest(place);
    levelsOf(manifest.files);
    return manifest;
  } catch (error) {
    problems.push({ file: MANIFEST_NAME, what: whatOf(error) });
    return null;
  }
}

function whatOf(error: unknown): string {
  if (error instanceof RecoveryError && typeof error.details['why'] === 'string') return error.details['why'];
  return error instanceof Error ? error.message : String(error);
}

interface CheckPlace {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly directory: string;
  readonly files: OpenFiles;
}

/** The checks of one file. */
class FileCheck {
  readonly #place: CheckPlace;
  readonly #record: SstRecord;
  readonly #problems: TreeProblem[];
  readonly #slot: number;
  readonly #indexSlot: number;
  #last: BlockEntry | null = null;
  #entries = 0;

  constructor(place: CheckPlace, record: SstRecord, problems: TreeProblem[]) {
    this.#place = place;
    this.#record = record;
    this.#problems = problems;
    this.#slot = place.memory.slotAlloc();
    this.#indexSlot = place.memory.slotAlloc();
  }

  /** Resolves to the number of entries. */
  async run(): Promise<number> {
    try {
      const table = await openTable(this.#place, this.#record);
      await this.#checkBytes(table.path);
      await this.#checkBlocks(table);
      if (this.#entries !== this.#record.entries) this.#found('it has another number of entries');
    } catch (error) {
      this.#found(whatOf(error));
    } finally {
      this.#place.memory.slotFree(this.#slot);
      this.#place.memory.slotFree(this.#indexSlot);
    }
    return this.#entries;
  }

  #found(what: string, offset?: number): void {
    this.#problems.push({ file: sstName(this.#record.number), what, offset });
  }

  async #checkBytes(path: string): Promise<void> {
    const { files, memory } = this.#place;
    const { size, sha256, number } = this.#record;
    const hash = new Sha256();
    for (let at = 0; at < size; at += READ_SIZE) {
      const bytes = Buffer.alloc(Math.min(READ_SIZE, size - at));
      const count = await files.read(path, bytes, at);
      hash.update(bytes.subarray(0, count));
      if (at > 0) continue;
      const header = decodeHeader(memory, bytes.subarray(0, HEADER_SIZE));
      if (header?.number !== number) this.#found('its header is damaged', 0);
    }
    if (hash.finish() !== sha256) this.#found('its SHA-256 is not the one of the manifest');
  }

  async #checkBlocks(table: SstTable): Promise<void> {
    const index = await this.#read(table, table.indexBlock, checkIndex);
    const bounds = index === null ? null : readBlock(index);
    if (index === null || bounds?.length !== table.dataCount) return this.#found('its index is damaged');
    this.#place.memory.write(this.#indexSlot, index);
    let keys: Uint8Array[] = [];
    for (const [block, bound] of bounds.entries()) {
      const numbers = bound.value === null ? null : readIndexValue(bound.value);
      if (numbers?.block !== block) return this.#found('its index names other blocks');
      const bytes = await this.#read(table, block, checkBlock);
      const entries = bytes === null ? null : readBlock(bytes);
      if (entries === null) this.#last = null;
      else this.#checkEntries(entries, bound, table.offsets[block]);
      keys.push(...(entries ?? []).map(({ key }) => key));
      const next = bounds[block + 1]?.value;
      if (next !== undefined && next !== null && readIndexValue(next)?.filter === numbers.filter) continue;
      await this.#checkFilter(table, numbers.filter, { keys, index });
      keys = [];
    }
    this.#checkRange();
  }

  /** The bytes of a block, null when they are damaged. */
  async #read(
    table: SstTable,
    block: number,
    isSound: (memory: LsmMemory, address: number, size: number) => boolean,
  ): Promise<Buffer | null> {
    const { memory } = this.#place;
    const bytes = Buffer.alloc(table.sizeOf(block, block + 1));
    await table.read(block, bytes);
    const stored = bytes.subarray(0, bytes.length - CHECKSUM_SIZE);
    const size = placeBlock(memory, { stored, checksum: bytes.subarray(stored.length) }, table, this.#slot);
    if (size > 0 && size <= SLOT_SIZE && isSound(memory, this.#slot, size)) {
      return Buffer.from(memory.read(this.#slot, size));
    }
    this.#found('a block is damaged', table.offsets[block]);
    return null;
  }

  #checkEntries(entries: readonly BlockEntry[], bound: BlockEntry, offset: number): void {
    const isBound = inOrder(bound, entries[0]) <= 0 && (this.#last === null || inOrder(this.#last, bound) < 0);
    if (!isBound) this.#found('a block begins where its index does not say', offset);
    const { lsnMin, lsnMax } = this.#record;
    for (const entry of entries) {
      if (this.#last !== null && inOrder(this.#last, entry) >= 0) this.#found('entries are out of order', offset);
      if (entry.lsn < lsnMin || entry.lsn > lsnMax) this.#found('an LSN is outside the range of the file', offset);
      if (this.#entries === 0) this.#checkFirst(entry);
      this.#last = entry;
      this.#entries++;
    }
  }

  #checkFirst({ key }: BlockEntry): void {
    const order = compareKeys(key, this.#record.first);
    if (this.#record.trimmed ? order > 0 : order !== 0) this.#found(`it begins at ${hexOf(key)}`);
  }

  #checkRange(): void {
    const { last } = this.#record;
    if (this.#last !== null && compareKeys(this.#last.key, last) !== 0)
      this.#found(`it ends at ${hexOf(this.#last.key)}`);
  }

  /** Asked as a lookup does, the index must lead all keys of a filter to it, and the filter must know them. */
  async #checkFilter(
    table: SstTable,
    filter: number,
    { keys, index }: { keys: readonly Uint8Array[]; index: Buffer },
  ): Promise<void> {
    if (filter >= table.filterCount) return this.#found('its index names a filter that is not there');
    const block = table.filterBlock(filter);
    const bytes = await this.#read(table, block, checkFilter);
    if (bytes === null) return;
    for (let from = 0; from < keys.length; from += BATCH_KEYS_MAX) {
      const batch = KeyBatch.of(this.#place.memory, keys.slice(from, from + BATCH_KEYS_MAX));
      const groups = batch.indexSearch(0, batch.count, this.#indexSlot, index.length) ?? [];
      const mine = groups.filter(({ b }) => b === filter);
      const known = mine.reduce(
        (sum, { from: a, to: z }) => sum + (batch.filterProbe(a, z, this.#slot, bytes.length) ?? 0),
        0,
      );
      if (known !== batch.count) this.#found('a filter does not know all keys of its blocks', table.offsets[block]);
      batch.free();
    }
  }
}

/** Key ascending, LSN descending. */
function inOrder(a: BlockEntry, b: BlockEntry): number {
  return compareKeys(a.key, b.key) || b.lsn - a.lsn;
}
