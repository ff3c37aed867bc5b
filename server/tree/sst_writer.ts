/**
 * Writes one SST from its first byte to its last: blocks are gathered in a buffer and go to the file while the next
 * ones are made.
 *
 *   block, filter -> gathering --(full)--> writing --pwrite--> file        finish: filters, index, footer, datasync
 *
 * Invariants: one write at a time, each where the last one ended; the SHA-256 is taken from the bytes as they are
 * handed over, in order; a failed sync ends the process; a file that is not finished is removed.
 */
import { constants, zstdCompressSync } from 'node:zlib';
import { BlockWriter, KEY_SIZE_MAX, SLOT_SIZE, type FinishedBlock, type LsmMemory } from '@transfer-queue/core/lsm';
import { Sha256 } from '../env/digest.ts';
import type { Env, File } from '../env/env.ts';
import { invariant } from '../errors.ts';
import { checksumAt, xxh64Of } from './checksum.ts';
import { encodeBlockTable, encodeFooter, encodeHeader, sstName, SstFlag } from './sst_format.ts';
import type { SstRecord } from './manifest.ts';

/** What the bytes of a file alone decide about its record. */
export type SstFacts = Pick<
  SstRecord,
  'number' | 'size' | 'entries' | 'first' | 'last' | 'lsnMin' | 'lsnMax' | 'sha256'
>;

export interface SstWriterOptions {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly directory: string;
  readonly number: number;
  readonly compressed: boolean;
  /** A file that reaches it is full. */
  readonly fileSize: number;
}

const BUFFER_SIZE = 256 << 10;
const ZSTD_LEVEL = 1;
/** What an entry of the index takes at most besides its key: sizes, LSN, three numbers, its place in the block. */
const INDEX_ENTRY_SIZE_MAX = 32;
/** An index that is larger may have no room for one more entry. */
const INDEX_SIZE_MAX = SLOT_SIZE - 64 - KEY_SIZE_MAX - INDEX_ENTRY_SIZE_MAX;

export class SstWriter {
  readonly #options: SstWriterOptions;
  readonly #file: File;
  readonly #index: BlockWriter;
  readonly #sha256 = new Sha256();
  readonly #offsets: number[] = [];
  readonly #filters: Uint8Array[] = [];
  #gathering: Buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  #spare: Buffer | null = Buffer.allocUnsafe(BUFFER_SIZE);
  #gathered = 0;
  #writing: Promise<void> = Promise.resolve();
  #written = 0;
  #indexSize = 0;
  #entries = 0;
  #lsnMin = Infinity;
  #lsnMax = 0;
  #first: Uint8Array | null = null;
  #last: Uint8Array | null = null;

  private constructor(options: SstWriterOptions, file: File) {
    this.#options = options;
    this.#file = file;
    this.#index = new BlockWriter(options.memory);
    this.#append(encodeHeader(options.memory, { number: options.number, flags: this.#flags }));
  }

  static async create(options: SstWriterOptions): Promise<SstWriter> {
    await options.env.fail('tree.sst.create');
    const file = await options.env.fs.open(`${options.directory}/${sstName(options.number)}`, { create: true });
    return new SstWriter(options, file);
  }

  get number(): number {
    return this.#options.number;
  }

  get #flags(): number {
    return this.#options.compressed ? SstFlag.zstd : 0;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#written + this.#gathered;
  }

  /** The last key so far. */
  get last(): Uint8Array {
    return this.#last!;
  }

  /** The file should end with the block that came last. */
  get isFull(): boolean {
    return this.size >= this.#options.fileSize || this.#indexSize > INDEX_SIZE_MAX;
  }

  /** Takes a data block; its filter is the next one that comes. */
  add(block: FinishedBlock): void {
    const numbers = { a: this.#offsets.length, b: this.#filters.length, c: 0 };
    this.#indexSize += block.boundKey.length + INDEX_ENTRY_SIZE_MAX;
    const fits = this.#index.addIndex(block.boundKey, block.boundLsn, numbers);
    invariant(fits, 'the index of a file has room for its blocks');
    this.#appendPlaced(block);
    this.#entries += block.entryCount;
    this.#lsnMin = Math.min(this.#lsnMin, block.lsnMin);
    this.#lsnMax = Math.max(this.#lsnMax, block.lsnMax);
    this.#first ??= block.firstKey;
    this.#last = block.lastKey;
  }

  /** Takes the filter of all blocks since the last one. */
  addFilter(bytes: Uint8Array): void {
    this.#filters.push(bytes);
  }

  /** Resolves when at most one buffer waits to be written: await it before more is added. */
  async drain(): Promise<void> {
    if (this.#gathered >= BUFFER_SIZE / 2) await this.#write();
  }

  /** Filters, index and footer; resolves when the file is synced. Its name is not durable yet. */
  async finish(): Promise<SstFacts> {
    const { env, memory, number } = this.#options;
    invariant(this.#first !== null && this.#last !== null, 'a file has a block');
    const dataCount = this.#offsets.length;
    for (const filter of this.#filters) this.#appendBlock(filter);
    this.#appendPlaced(this.#index.finish()!);
    const tableOffset = this.size;
    this.#append(encodeBlockTable(memory, [...this.#offsets, tableOffset]));
    const facts = { number, entries: this.#entries, lsnMin: this.#lsnMin, lsnMax: this.#lsnMax };
    const counts = { dataCount, filterCount: this.#filters.length, flags: this.#flags, tableOffset };
    this.#append(encodeFooter(memory, { ...facts, ...counts }));
    await this.#write();
    await this.#writing;
    await env.fail('tree.sst.sync');
    try {
      await this.#file.datasync();
    } catch (error) {
      env.crash('a file of the tree could not be synced', error);
    }
    await this.#close();
    return { ...facts, size: this.#written, first: this.#first, last: this.#last, sha256: this.#sha256.finish() };
  }

  /** Removes what was written; for files that no manifest will name. */
  async abandon(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#close();
    await this.#options.env.fs.unlink(this.#file.path);
  }

  async #close(): Promise<void> {
    this.#index.free();
    await this.#file.close();
  }

  /** A block that lies in the memory of the tree. */
  #appendPlaced({ address, size }: FinishedBlock): void {
    const { memory, compressed } = this.#options;
    const bytes = memory.bytes.subarray(address, address + size);
    if (compressed) return this.#appendBlock(bytes);
    this.#offsets.push(this.size);
    this.#append(bytes);
    this.#append(checksumAt(memory, address, size));
  }

  #appendBlock(bytes: Uint8Array): void {
    const stored = this.#options.compressed ? zstd(bytes) : bytes;
    this.#offsets.push(this.size);
    this.#append(stored);
    this.#append(xxh64Of(this.#options.memory, stored));
  }

  #append(bytes: Uint8Array): void {
    if (this.#gathered + bytes.length > this.#gathering.length) this.#grow(bytes.length);
    this.#gathering.set(bytes, this.#gathered);
    this.#gathered += bytes.length;
  }

  /** Filters and index come at once, without a chance to write in between. */
  #grow(more: number): void {
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#gathering.length, this.#gathered + more));
    this.#gathering.copy(larger, 0, 0, this.#gathered);
    this.#gathering = larger;
  }

  /** Hands over what was gathered, after the write before it. */
  async #write(): Promise<void> {
    await this.#writing;
    const buffer = this.#gathering;
    const bytes = buffer.subarray(0, this.#gathered);
    this.#gathering = this.#spare ?? Buffer.allocUnsafe(BUFFER_SIZE);
    this.#spare = null;
    this.#gathered = 0;
    this.#sha256.update(bytes);
    const position = this.#written;
    this.#written += bytes.length;
    this.#writing = this.#pwrite(bytes, position).then(() => void (this.#spare = buffer));
    // Whoever awaits the next write sees the failure.
    this.#writing.catch(() => undefined);
  }

  async #pwrite(bytes: Buffer, position: number): Promise<void> {
    await this.#options.env.fail('tree.sst.write');
    await this.#file.pwrite(bytes, position);
  }
}

function zstd(bytes: Uint8Array): Buffer {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
}
