/**
 * An SST that is there to be read: where its blocks lie, and which of them are in the cache.
 *
 * Invariants: the file is read only through `read`, which opens it when it is closed; a frame in `frames` holds the
 * block that stands there.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import type { Env } from '../env/env.ts';
import { RecoveryError, StoreError } from '../errors.ts';
import type { Frame } from './frames.ts';
import { CHECKSUM_SIZE } from './checksum.ts';
import type { SstRecord } from './manifest.ts';
import type { OpenFiles } from './open_files.ts';
import {
  blockTableSize,
  decodeBlockTable,
  decodeFooter,
  FOOTER_SIZE,
  sstName,
  SstFlag,
  type SstFooter,
} from './sst_format.ts';

/** Read at once when a table is opened: footer and block table of most files. */
const TAIL_SIZE = 4 << 10;

export class SstTable {
  readonly number: number;
  readonly path: string;
  readonly dataCount: number;
  readonly filterCount: number;
  readonly entries: number;
  readonly compressed: boolean;
  /** Of each block, and of the end of the last one. */
  readonly offsets: Uint32Array;
  /** The frame of each block that is in the cache. */
  readonly frames: (Frame | null)[];
  readonly #files: OpenFiles;

  constructor(options: { files: OpenFiles; path: string; footer: SstFooter; offsets: Uint32Array }) {
    const { files, path, footer, offsets } = options;
    this.number = footer.number;
    this.path = path;
    this.dataCount = footer.dataCount;
    this.filterCount = footer.filterCount;
    this.entries = footer.entries;
    this.compressed = (footer.flags & SstFlag.zstd) !== 0;
    this.offsets = offsets;
    this.frames = new Array<Frame | null>(offsets.length - 1).fill(null);
    this.#files = files;
  }

  /** The block of a filter, by its number in the index. */
  filterBlock(filter: number): number {
    return this.dataCount + filter;
  }

  get indexBlock(): number {
    return this.dataCount + this.filterCount;
  }

  /** Stored bytes of a block, without its checksum. */
  storedSize(block: number): number {
    return this.offsets[block + 1] - this.offsets[block] - CHECKSUM_SIZE;
  }

  /** Bytes of blocks [from, to) with their checksums. */
  sizeOf(from: number, to: number): number {
    return this.offsets[to] - this.offsets[from];
  }

  /** Reads blocks from `from` on until `bytes` is full. Rejects with `data_corrupt` when the system can not. */
  async read(from: number, bytes: Buffer): Promise<void> {
    const offset = this.offsets[from];
    let count: number;
    try {
      count = await this.#files.read(this.path, bytes, offset);
    } catch (error) {
      throw this.corrupt(from, error instanceof Error ? error.message : String(error));
    }
    if (count < bytes.length) throw this.corrupt(from, 'the file is too short');
  }

  corrupt(block: number, reason: string): StoreError {
    const [offset, end] = [this.offsets[block], this.offsets[block + 1]];
    return new StoreError('data_corrupt', { file: this.path, offset, length: end - offset, reason });
  }
}

export interface OpenTableOptions {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly files: OpenFiles;
  readonly directory: string;
}

/** Checks that a file is there, whole and the one that the manifest means; throws a `RecoveryError` otherwise. */
export async function openTable(options: OpenTableOptions, record: SstRecord): Promise<SstTable> {
  const { memory, files, directory } = options;
  const path = `${directory}/${sstName(record.number)}`;
  const refuse = (why: string): never => {
    throw new RecoveryError('a file of the tree is damaged', { file: path, why });
  };
  const size = await files.size(path).catch((error: Error) => refuse(error.message));
  if (size !== record.size) refuse(`it has ${size} bytes, not ${record.size}`);
  let tail = await readTail(files, path, { size, wanted: TAIL_SIZE });
  const footer = decodeFooter(memory, tail) ?? refuse('its footer is damaged');
  if (footer.number !== record.number || footer.entries !== record.entries) refuse('its footer is of another file');
  const tableSize = blockTableSize(footer);
  if (footer.tableOffset + tableSize + FOOTER_SIZE !== size) refuse('its footer is of a file of another size');
  if (tail.length < tableSize + FOOTER_SIZE) {
    tail = await readTail(files, path, { size, wanted: tableSize + FOOTER_SIZE });
  }
  const at = tail.length - FOOTER_SIZE - tableSize;
  const offsets = decodeBlockTable(memory, tail.subarray(at, at + tableSize)) ?? refuse('its block table is damaged');
  return new SstTable({ files, path, footer, offsets });
}

async function readTail(files: OpenFiles, path: string, { size, wanted }: { size: number; wanted: number }) {
  const tail = Buffer.alloc(Math.min(size, wanted));
  const count = await files.read(path, tail, size - tail.length);
  return tail.subarray(0, count);
}
