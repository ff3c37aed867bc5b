/**
 * The append loop of the journal: gives each event its LSN, writes what gathered in one piece, syncs when someone asks.
 *
 *   append -> [pending bytes] -> pwrite (one in flight) -> written -> datasync (one in flight) -> synced
 *
 * Group commit: events that arrive while a write or a sync is in flight share the next one, and so do those of one turn
 * of the event loop, but for a put's. A `Commit` is made here only, so that an answer which needs one cannot be built
 * before the journal says so.
 *
 * Invariants: LSNs rise with the order of `append`; bytes go to explicit offsets in that order; a failed write or sync
 * ends the process, since nothing after it could be acknowledged. A full disk is foreseen: the reserve file gives way.
 *
 * The bytes that wait have a bound. What may be long, a put, a delete or a declaration, asks for `room` in the turn in
 * which it appends: at most PENDING_SIZE_MAX and one such record wait, and as much is being written. The rest is let
 * through, so that no lease runs out behind puts, and is short by itself: some hundred bytes for each connection, and
 * for a claim 10 for each of its rows, which only puts make ready.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Core } from '@transfer-queue/core/wasm';
import { FsError, nextTurn, type Env, type File } from '../env/env.ts';
import { invariant } from '../errors.ts';
import { ByteWriter } from './bytes.ts';
import { writeEvent } from './event_codecs.ts';
import { eventTypes, type JournalEvent } from './events.ts';
import { removeFilesBefore } from './files.ts';
import {
  FILE_HEADER_SIZE,
  FILE_SIZE_MAX,
  fileHeader,
  fileName,
  PAYLOAD_SIZE_MAX,
  RECORD_HEADER_SIZE,
  recordSize,
  sealRecord,
  TICKS_PER_MS,
} from './format.ts';
import { RESERVE_SIZE, type Reserve } from './reserve.ts';
import { RoomWaiters } from './room.ts';
import { SyncMarks } from './sync_marks.ts';

const DONE = Promise.resolve();

/** With what is being written it fits the reserve, which makes room for both when the disk is full. */
const PENDING_SIZE_MAX = RESERVE_SIZE / 2;

/** Proof that an event is as safe as its ack level says. */
export interface Commit {
  readonly lsn: number;
  readonly level: AckLevel;
}

export interface Appended {
  readonly lsn: number;
  readonly commit: Promise<Commit>;
}

/** Where the journal goes on, as recovery found it. */
export interface JournalPosition {
  readonly fileNumber: number;
  readonly offset: number;
  readonly lsn: number;
  readonly timestamp: number;
  readonly watermark: number;
  readonly epoch: number;
}

interface NewFile {
  readonly from: number;
  readonly lsnBefore: number;
  begun(number: number): void;
}

interface Waiter {
  readonly lsn: number;
  readonly resolve: () => void;
}

export interface JournalOptions {
  readonly env: Env;
  readonly core: Core;
  readonly directory: string;
  readonly position: JournalPosition;
  readonly file: File | null;
  readonly reserve: Reserve;
  readonly fileSizeMax?: number;
  readonly pendingSizeMax?: number;
}

export class Journal {
  readonly #env: Env;
  readonly #core: Core;
  readonly #directory: string;
  readonly #reserve: Reserve;
  readonly #epoch: number;
  readonly #fileSizeMax: number;
  readonly #pendingSizeMax: number;
  #file: File | null;
  #fileNumber: number;
  #offset: number;
  #timestamp: number;
  #lsn: number;
  #writtenLsn: number;
  #syncedLsn: number;
  /** As `durableLsn`, but the LSN of a record in the files: `memory` events have none. */
  #watermark: number;
  #durableLsn: number;
  #appendedSize = 0;
  #pending = new ByteWriter();
  #spare = new ByteWriter();
  /** LSN of the last record, */
  #pendingLsn: number;
  /** and of the last one of level `disk`. */
  #diskLsn = 0;
  #writing: Promise<void> | null = null;
  #syncing: Promise<void> | null = null;
  #syncWanted = 0;
  /** Where among the pending bytes a new file begins, for whoever asked. */
  #newFile: NewFile | null = null;
  #writeWaiters: Waiter[] = [];
  #syncWaiters: Waiter[] = [];
  readonly #roomWaiters: RoomWaiters;
  readonly #marks: SyncMarks;

  constructor(options: JournalOptions) {
    this.#env = options.env;
    this.#core = options.core;
    this.#roomWaiters = new RoomWaiters(options.env.clock);
    this.#directory = options.directory;
    this.#marks = new SyncMarks(options);
    this.#reserve = options.reserve;
    this.#fileSizeMax = options.fileSizeMax ?? FILE_SIZE_MAX;
    this.#pendingSizeMax = options.pendingSizeMax ?? PENDING_SIZE_MAX;
    this.#file = options.file;
    this.#fileNumber = options.position.fileNumber;
    this.#offset = options.position.offset;
    this.#timestamp = options.position.timestamp;
    this.#lsn = options.position.lsn;
    this.#pendingLsn = options.position.lsn;
    this.#writtenLsn = options.position.lsn;
    this.#epoch = options.position.epoch;
    this.#watermark = options.position.watermark;
    this.#durableLsn = options.position.watermark;
    this.#syncedLsn = options.position.watermark;
  }

  /** The LSN given last. */
  get lsn(): number {
    return this.#lsn;
  }

  /** Every event up to here is with the operating system. */
  get writtenLsn(): number {
    return this.#writtenLsn;
  }

  /** Every event up to here survives a power cut, with the bytes that it names, or was never meant to. */
  get durableLsn(): number {
    return this.#durableLsn;
  }

  /** Of the event that was appended last. */
  get timestamp(): number {
    return this.#timestamp;
  }

  /** Bytes appended since the start of the process. */
  get appendedSize(): number {
    return this.#appendedSize;
  }

  get unwrittenSize(): number {
    return this.#pending.length;
  }

  /**
   * Null while a long event may be appended in this turn; else resolves when it is time to ask again. Rejects with
   * `memory_full` when the disk took nothing for too long.
   */
  room(): Promise<void> | null {
    return this.unwrittenSize < this.#pendingSizeMax ? null : this.#roomWaiters.wait(this.unwrittenSize);
  }

  /** Gives the event its LSN. Its state change must be applied in the same turn of the event loop. */
  append(event: JournalEvent, level: AckLevel): Appended {
    const lsn = ++this.#lsn;
    const commit: Commit = { lsn, level };
    this.#timestamp = Math.max(this.#timestamp + 1, Math.floor(this.#env.clock.wallMs()) * TICKS_PER_MS);
    if (level === 'memory') return { lsn, commit: Promise.resolve(commit) };
    this.#encode(event, lsn, level);
    this.#pendingLsn = lsn;
    const written = this.#waitFor(this.#writeWaiters, lsn);
    this.#writing ??= this.#writeAll(event.type !== 'insert');
    if (level === 'os') return { lsn, commit: written.then(() => commit) };
    this.#diskLsn = lsn;
    return { lsn, commit: written.then(() => this.#synced(lsn)).then(() => commit) };
  }

  /**
   * Null when all events of up to this level are as safe as it says; else resolves when they are. No answer may show
   * what happened to a partition of this level before that.
   */
  settled(level: AckLevel = 'os'): Promise<void> | null {
    if (level === 'memory') return null;
    const written = this.#pendingLsn <= this.#writtenLsn ? null : this.#waitFor(this.#writeWaiters, this.#pendingLsn);
    const lsn = this.#diskLsn;
    if (level === 'os' || lsn <= this.#syncedLsn) return written;
    return (written ?? DONE).then(() => this.#synced(lsn));
  }

  /** Makes all that was appended so far survive a power cut; `syncData`, for the bytes that it names, goes first. */
  async makeDurable(syncData: () => Promise<void>): Promise<void> {
    const lsn = this.#lsn;
    const recordLsn = this.#pendingLsn;
    try {
      await syncData();
    } catch (error) {
      this.#env.crash('a sync of a segment failed', error);
    }
    await this.settled();
    await this.#synced(recordLsn);
    await this.#marks.raiseDurable(recordLsn);
    this.#watermark = Math.max(this.#watermark, recordLsn);
    this.#durableLsn = Math.max(this.#durableLsn, lsn);
  }

  /** What is appended from now on goes to a new file. Resolves to its number once something was; see `append`. */
  beginFile(): Promise<number> {
    return new Promise((begun) => {
      this.#newFile = { from: this.#pending.length, lsnBefore: this.#pendingLsn, begun };
    });
  }

  /** A checkpoint holds what the files before a number said. */
  async removeFilesBefore(number: number): Promise<void> {
    await removeFilesBefore(this.#env, this.#directory, number);
  }

  async close(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    while (this.#syncing !== null) await this.#syncing;
    await this.#file?.close();
    this.#file = null;
    await this.#marks.close();
  }

  #waitFor(waiters: Waiter[], lsn: number): Promise<void> {
    return new Promise((resolve) => waiters.push({ lsn, resolve }));
  }

  /** An event that cannot be written leaves nothing behind: what follows it must be readable. */
  #encode(event: JournalEvent, lsn: number, level: AckLevel): void {
    const { length } = this.#pending;
    try {
      this.#encodeRecord(event, lsn, level);
    } catch (error) {
      this.#pending.cut(length);
      throw error;
    }
  }

  #encodeRecord(event: JournalEvent, lsn: number, level: AckLevel): void {
    const start = this.#pending.reserve(RECORD_HEADER_SIZE);
    writeEvent(this.#pending, event);
    const payloadSize = this.#pending.length - start - RECORD_HEADER_SIZE;
    invariant(payloadSize <= PAYLOAD_SIZE_MAX, `the ${event.type} event ${lsn} fits a record`);
    this.#pending.reserve(start + recordSize(payloadSize) - this.#pending.length);
    this.#appendedSize += recordSize(payloadSize);
    sealRecord(this.#core, this.#pending.view().subarray(start), {
      payloadSize,
      lsn,
      timestamp: this.#timestamp,
      type: eventTypes[event.type],
      level,
      epoch: this.#epoch,
      watermark: this.#watermark,
    });
  }

  /**
   * What several connections caused in one turn of the event loop shares a write, which begins with the next turn. A
   * put does not wait for others: it is applied, which takes it longer than them, while a thread writes its event.
   */
  async #writeAll(gathers: boolean): Promise<void> {
    try {
      for (let waits = gathers; this.#pending.length > 0; waits = true) {
        if (waits) await nextTurn(this.#env.clock);
        await this.#writePending();
      }
    } catch (error) {
      this.#env.crash('a write to the journal failed', error);
    } finally {
      this.#writing = null;
    }
  }

  async #writePending(): Promise<void> {
    const gathered = this.#pending;
    const lsn = this.#pendingLsn;
    this.#pending = this.#spare;
    this.#pending.reset();
    this.#spare = gathered;
    this.#roomWaiters.wake();
    const newFile = this.#newFile;
    this.#newFile = null;
    const bytes = gathered.view();
    const from = newFile?.from ?? 0;
    if (newFile !== null && from > 0) await this.#writeUpTo(bytes.subarray(0, from), newFile.lsnBefore);
    if (newFile !== null || this.#file === null || this.#offset >= this.#fileSizeMax) await this.#roll();
    newFile?.begun(this.#fileNumber);
    await this.#writeUpTo(bytes.subarray(from), lsn);
    this.#startSync();
  }

  async #writeUpTo(bytes: Buffer, lsn: number): Promise<void> {
    if (this.#file === null) await this.#roll();
    const failing = this.#env.fail('journal.write');
    if (failing !== null) await failing;
    await this.#pwrite(bytes);
    await this.#env.fail('journal.written');
    this.#offset += bytes.length;
    this.#writtenLsn = lsn;
    this.#writeWaiters = settle(this.#writeWaiters, lsn);
  }

  /** A full disk is met with the reserve; nothing of what was appended may be lost, since it is applied already. */
  async #pwrite(bytes: Buffer): Promise<void> {
    try {
      await this.#file!.pwrite(bytes, this.#offset);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC' || !(await this.#reserve.giveWay())) throw error;
      await this.#file!.pwrite(bytes, this.#offset);
    }
  }

  async #roll(): Promise<void> {
    const full = this.#file;
    this.#file = null;
    await this.#env.fail('journal.roll');
    if (full !== null) {
      await this.#syncing;
      await this.#syncFile(full, this.#writtenLsn);
      this.#noteSynced(this.#writtenLsn);
      await full.close();
    }
    const number = this.#fileNumber + 1;
    const file = await this.#env.fs.open(`${this.#directory}/${fileName(number)}`, { create: true });
    this.#file = file;
    this.#fileNumber = number;
    this.#offset = 0;
    await this.#env.fail('journal.roll.header');
    await this.#pwrite(fileHeader(this.#core, number, this.#writtenLsn));
    this.#offset = FILE_HEADER_SIZE;
    await this.#syncFile(file, 0);
    await this.#env.fail('journal.roll.syncdir');
    await this.#env.fs.syncDirectory(this.#directory);
  }

  /** Shares the sync that begins next; the one in flight may have begun before the event was written. */
  async #synced(lsn: number): Promise<void> {
    if (lsn <= this.#syncedLsn) return;
    this.#syncWanted = Math.max(this.#syncWanted, lsn);
    const synced = this.#waitFor(this.#syncWaiters, lsn);
    this.#startSync();
    await synced;
  }

  #startSync(): void {
    if (this.#syncing !== null || this.#syncWanted <= this.#syncedLsn || this.#file === null) return;
    const lsn = this.#writtenLsn;
    this.#syncing = this.#syncFile(this.#file, lsn).finally(() => {
      this.#syncing = null;
      this.#noteSynced(lsn);
      this.#startSync();
    });
  }

  #noteSynced(lsn: number): void {
    this.#syncedLsn = Math.max(this.#syncedLsn, lsn);
    this.#syncWaiters = settle(this.#syncWaiters, this.#syncedLsn);
  }

  /** A failed sync is never retried: the system may have called the pages clean that it could not write. */
  async #syncFile(file: File, lsn: number): Promise<void> {
    try {
      await this.#env.fail('journal.sync');
      await file.datasync();
      await this.#env.fail('journal.synced');
    } catch (error) {
      this.#env.crash('a sync of the journal failed', error);
    }
    await this.#marks.raiseSynced(lsn);
  }
}

/** Resolves the waiters up to `lsn` and returns the others. */
function settle(waiters: Waiter[], lsn: number): Waiter[] {
  for (const waiter of waiters) if (waiter.lsn <= lsn) waiter.resolve();
  return waiters.filter((waiter) => waiter.lsn > lsn);
}
