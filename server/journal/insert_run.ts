/**
 * Puts that follow each other in a journal, read as columns: a start reads them by the hundred, and an object or two
 * for each would be most of what it does.
 *
 *   events    | LSN 7: row 1 | LSN 8: row 2 | LSN 9: rows 5, 6 |
 *   columns   lsns 7 8 9     rows 1 1 2     ids 1 2 5 6     offsets, lengths, hashes ...
 *
 * The bytes are those of the insert codec (row_codecs.ts), read in place.
 *
 * Invariants: all puts of a run are of one partition, level, segment and list of columns; each is one batch in one
 * block, and nothing but rows: it acks no claim and brings no tags and no blobs.
 */
import { ackLevels, type AckLevel } from '@transfer-queue/core/protocol';
import { ByteReader, FormatError } from './bytes.ts';
import { readColumns } from './columns.ts';
import type { BatchColumns, InsertEvent } from './events.ts';
import type { RecordHeader } from './format.ts';

/** What is read of a run lives until it is applied. */
const PUTS_MAX = 128;
const IDS_START = 256;
/** Of the hash of a block. */
export const HASH_SIZE = 8;
/** From the claim that is acked to the number of rows. */
const FIXED_SIZE = 48;
/** High words of safe integers are below this. */
const HIGH_END = 2 ** 21;
const TWO_32 = 2 ** 32;

/** Valid until the next one is read. */
export class InsertRun {
  readonly lsns = new Float64Array(PUTS_MAX);
  readonly offsets = new Float64Array(PUTS_MAX);
  readonly lengths = new Uint32Array(PUTS_MAX);
  readonly rows = new Uint32Array(PUTS_MAX);
  /** xxh64 of the only block of each, as it stands in the file. */
  readonly hashes = new Uint8Array(PUTS_MAX * HASH_SIZE);
  /** '' for none. */
  readonly requestIds = new Array<string>(PUTS_MAX).fill('');
  count = 0;
  partition = 0;
  segment = 0;
  level: AckLevel = ackLevels[0];
  columns: BatchColumns['columns'] = [];
  /** Of the last put. */
  timestamp = 0;
  #ids = new Float64Array(IDS_START);
  #idCount = 0;

  get lsnLast(): number {
    return this.lsns[this.count - 1];
  }

  /** The rows of the first put, those of the second... */
  get ids(): Float64Array {
    return this.#ids.subarray(0, this.#idCount);
  }

  clear(): void {
    this.count = 0;
    this.#idCount = 0;
  }

  /** Makes room for so many more ids and says where they go. */
  addIds(count: number): { readonly ids: Float64Array; readonly from: number } {
    const from = this.#idCount;
    this.#idCount += count;
    if (this.#idCount > this.#ids.length) {
      const larger = new Float64Array(2 * this.#idCount);
      larger.set(this.#ids);
      this.#ids = larger;
    }
    return { ids: this.#ids, from };
  }

  /** The puts as they would have been read one by one. */
  events(): { readonly event: InsertEvent; readonly lsn: number }[] {
    const { partition, segment, columns, ids } = this;
    let from = 0;
    return Array.from({ length: this.count }, (_, put) => {
      const rows = this.rows[put];
      const blocks = this.hashes.slice(put * HASH_SIZE, (put + 1) * HASH_SIZE);
      const extent = { segment, offset: this.offsets[put], length: this.lengths[put], blocks };
      const batches = [{ rows, ids: ids.slice(from, (from += rows)), columns }];
      const requestId = this.requestIds[put];
      return { event: { type: 'insert', partition, requestId, extent, batches, ackClaim: 0 }, lsn: this.lsns[put] };
    });
  }
}

/** Reads runs out of the bytes of one file. */
export class InsertRunReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #source: ByteReader;
  readonly #run = new InsertRun();
  /** Where the columns of the first put stand: the others have the same bytes. */
  #columnsAt = 0;
  #columnsSize = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#source = new ByteReader(bytes);
  }

  /** Empty now; `add` fills it. */
  begin(): InsertRun {
    this.#run.clear();
    return this.#run;
  }

  /** The payload at `at` of a record of an insert; false when it is no part of the run, as it stands now. */
  add(header: RecordHeader, at: number): boolean {
    const run = this.#run;
    const { count } = run;
    const view = this.#view;
    const end = at + header.payloadSize;
    if (count === PUTS_MAX || at + 8 > end) return false;
    const textSize = view.getUint32(at + 4, true);
    // Then u64 ack claim | u32 segment | u64 offset | u64 length | u32 8 | hash | u32 1 | u32 rows
    const fixedAt = at + 8 + textSize;
    const idsAt = fixedAt + FIXED_SIZE;
    if (idsAt > end) return false;
    const rows = view.getUint32(idsAt - 4, true);
    const columnsAt = idsAt + 8 * rows;
    const isPlain =
      (view.getUint32(fixedAt, true) | view.getUint32(fixedAt + 4, true)) === 0 &&
      view.getUint32(fixedAt + 28, true) === HASH_SIZE &&
      view.getUint32(fixedAt + 40, true) === 1 &&
      rows > 0 &&
      columnsAt < end;
    if (!isPlain) return false;
    const partition = view.getUint32(at, true);
    const segment = view.getUint32(fixedAt + 8, true);
    if (count === 0) {
      if (!this.#readColumns(columnsAt, end)) return false;
      Object.assign(run, { partition, segment, level: header.level });
    } else if (partition !== run.partition || segment !== run.segment || header.level !== run.level) {
      return false;
    } else if (!this.#hasColumns(columnsAt, end)) {
      return false;
    }
    return this.#take(header, { fixedAt, idsAt, rows }, at + 8);
  }

  #take(
    { lsn, timestamp }: RecordHeader,
    { fixedAt, idsAt, rows }: { readonly fixedAt: number; readonly idsAt: number; readonly rows: number },
    textAt: number,
  ): boolean {
    const run = this.#run;
    const view = this.#view;
    const put = run.count;
    // An extent of one block is short.
    if (view.getUint32(fixedAt + 24, true) !== 0 || view.getUint32(fixedAt + 16, true) >= HIGH_END) return false;
    for (let i = 0; i < rows; i++) if (view.getUint32(idsAt + 8 * i + 4, true) >= HIGH_END) return false;
    const { ids, from } = run.addIds(rows);
    for (let i = 0; i < rows; i++) ids[from + i] = u64(view, idsAt + 8 * i);
    run.lsns[put] = lsn;
    run.timestamp = timestamp;
    run.offsets[put] = u64(view, fixedAt + 12);
    run.lengths[put] = view.getUint32(fixedAt + 20, true);
    run.rows[put] = rows;
    for (let i = 0; i < HASH_SIZE; i++) run.hashes[put * HASH_SIZE + i] = this.#bytes[fixedAt + 32 + i];
    run.requestIds[put] = fixedAt === textAt ? '' : this.#bytes.toString('utf8', textAt, fixedAt);
    run.count++;
    return true;
  }

  /** Whether nothing but columns stands there. */
  #readColumns(at: number, end: number): boolean {
    const source = this.#source.turnTo(at, end);
    try {
      this.#run.columns = readColumns(source);
    } catch (error) {
      // Whoever reads the event alone says what is wrong with it.
      if (error instanceof FormatError) return false;
      throw error;
    }
    this.#columnsAt = at;
    this.#columnsSize = end - at;
    return source.done;
  }

  #hasColumns(at: number, end: number): boolean {
    const view = this.#view;
    const size = this.#columnsSize;
    if (end - at !== size) return false;
    let i = 0;
    for (; i + 4 <= size; i += 4) if (view.getUint32(at + i) !== view.getUint32(this.#columnsAt + i)) return false;
    for (; i < size; i++) if (this.#bytes[at + i] !== this.#bytes[this.#columnsAt + i]) return false;
    return true;
  }
}

function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32;
}
