/**
 * One put: room for the body, its bytes as they arrive, its check, its commit.
 *
 *   openPut -> [bytes -> hash, write behind] -> finish: checksum, walk, fit the partition, written -> commit -> answer
 *
 * The body is received at its final place; a large one is on its way to the file while the rest arrives, and any is
 * while it is checked.
 *
 * Invariants: nothing of a put is visible before its event is committed; a put that fails gives its room back; between
 * the last look at the state and the commit nothing is awaited.
 */
import { walkStream, type ArrowRefusal, type WalkedStream, SchemaCache } from '@transfer-queue/core/arrow';
import { ackLevels, limits, TAIL_MAGIC, TAIL_SIZE, type AckLevel } from '@transfer-queue/core/protocol';
import type { BodyHasher } from '@transfer-queue/core/wasm';
import { FsError } from '../env/env.ts';
import { StoreError } from '../errors.ts';
import type { BatchColumns, InsertEvent } from '../journal/events.ts';
import { PAYLOAD_SIZE_MAX } from '../journal/format.ts';
import { machine, type PartitionQueue } from '../queue/machine.ts';
import { presentRows } from '../queue/presence.ts';
import type { Reservation } from '../segment/segments.ts';
import { WriteBehind } from '../segment/write_behind.ts';
import type { Partition } from '../store/partition.ts';
import { claimOf } from './claims.ts';
import type { PutCommand } from './commands.ts';
import { commitDeclaration, planColumns } from './partitions.ts';
import type { Node } from './node.ts';
import type { RequestOutcome } from './requests.ts';
import type { IdList } from './state.ts';

/** Bytes are hashed in steps of about this size while they arrive, and are still in the cache. */
const HASH_STEP = 256 << 10;
/** One read from the socket takes at most this much, so that what it brought is hashed from the cache. */
const ROOM_SIZE = 256 << 10;

export interface PutAnswer {
  readonly lsn: number;
  readonly rows: number;
  readonly ack: AckLevel;
}

/** Where a put goes, as found before its body came. */
export interface PutPlace {
  readonly partition: Partition;
  readonly level: AckLevel;
}

const tailMagic = Buffer.from(TAIL_MAGIC, 'latin1');
const schemas = new SchemaCache();

/** Refuses what can be refused before the body; answers a retry of a put that is done. */
export function checkPut(
  node: Node,
  command: PutCommand,
): { partition: Partition; level: AckLevel; done: Promise<PutAnswer> | null } {
  const partition = node.partition(command.partition);
  const level = levelOf(partition, command.ack);
  const earlier = node.parts.state.requests.get(command.requestId);
  if (earlier !== undefined) return { partition, level, done: repeat(node, partition, earlier, level) };
  if (level !== 'memory') node.checkRoom();
  const limit = node.parts.putBodySizeMax;
  if (command.length > limit + TAIL_SIZE) throw new StoreError('body_too_large', { bytes: command.length, limit });
  return { partition, level, done: null };
}

function levelOf(partition: Partition, wanted: AckLevel | null): AckLevel {
  const declared = partition.settings.ack;
  if (wanted === null || wanted === declared) return declared;
  const stronger = ackLevels.indexOf(wanted) > ackLevels.indexOf(declared);
  if (!stronger || declared === 'memory') throw new StoreError('ack_level_too_low', { declared, asked: wanted });
  return wanted;
}

/** A retry may ask for more than the first try did. */
async function repeat(node: Node, partition: Partition, earlier: RequestOutcome, ack: AckLevel): Promise<PutAnswer> {
  if (earlier.kind !== 'put' || earlier.partition !== partition.id) throw new StoreError('request_id_reused');
  await earlier.commit;
  await node.settledAt(ack, earlier.lsn);
  return { lsn: earlier.lsn, rows: earlier.rows, ack };
}

/** Reserves the place of the body. Rejects with `memory_full` or `disk_full`. */
export async function openPut(node: Node, command: PutCommand, place: PutPlace): Promise<Put> {
  const { level, partition } = place;
  try {
    const reservation = await node.parts.segments.reserve({ level, partition: partition.id, length: command.length });
    return new Put(node, command, place, reservation);
  } catch (error) {
    throw asDiskFull(node, error);
  }
}

/** A full disk is a refusal, and a reason to give up the files that are kept for recycling. */
function asDiskFull(node: Node, error: unknown): unknown {
  if (!(error instanceof FsError) || error.code !== 'ENOSPC') return error;
  node.giveSpaceBack();
  return new StoreError('disk_full');
}

export class Put {
  readonly #node: Node;
  readonly #command: PutCommand;
  readonly #partition: Partition;
  readonly #level: AckLevel;
  readonly #reservation: Reservation;
  readonly #hasher: BodyHasher;
  #received = 0;
  #hashed = 0;
  readonly #writes: WriteBehind;
  #ended = false;

  constructor(node: Node, command: PutCommand, place: PutPlace, reservation: Reservation) {
    this.#node = node;
    this.#command = command;
    this.#partition = place.partition;
    this.#level = place.level;
    this.#reservation = reservation;
    this.#hasher = node.parts.core.bodyHasher();
    this.#writes = new WriteBehind(node.parts.segments, reservation);
  }

  /** Where the next bytes go. */
  get room(): Uint8Array {
    return this.#reservation.bytes.subarray(this.#received, this.#received + ROOM_SIZE);
  }

  /** The last bytes may be the tail, which is neither hashed nor written. */
  wrote(size: number): void {
    this.#received += size;
    const known = this.#received - TAIL_SIZE;
    if (known - this.#hashed < HASH_STEP) return;
    this.#hasher.update(this.#reservation.bytes.subarray(this.#hashed, known));
    this.#hashed = known;
    this.#writes.fill(known);
  }

  /** The body is complete: checks it, commits it, and answers when it is as safe as asked. */
  async finish(): Promise<PutAnswer> {
    try {
      const tailed = this.#isTailed();
      const length = this.#reservation.length - (tailed ? TAIL_SIZE : 0);
      this.#writes.end(length);
      this.#checkChecksum(length, tailed);
      const walked = this.#walk(length);
      await this.#writes.finish();
      if (this.#level === 'disk') await this.#syncData();
      await this.#node.checkpoints.admit();
      const { batches } = walked;
      for (let wait = this.#obstacle(batches); wait !== null; wait = this.#obstacle(batches)) await wait;
      return await this.#commit(walked, length);
    } catch (error) {
      await this.abort();
      throw asDiskFull(this.#node, error);
    }
  }

  /** What the commit has to wait for: rows that lie on disk, room in the journal. Null when it can be now. */
  #obstacle(batches: readonly IdList[]): Promise<void> | null {
    const node = this.#node;
    const ids = node.parts.state.unready(this.#partition, batches);
    if (ids !== null) return this.#partition.index.load(ids);
    const room = node.journalRoom(this.#level);
    // What held the journal up may have been a full disk.
    return room === null ? null : room.then(() => node.checkRoom());
  }

  /** Gives the room back, once the writes that are under way have let go of it. */
  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#writes.stop();
    this.#node.parts.segments.cancel(this.#reservation);
  }

  async #syncData(): Promise<void> {
    const { segments, env } = this.#node.parts;
    await segments
      .sync(this.#reservation.segment)
      .catch((error: unknown) => env.crash('a sync of a segment failed', error));
  }

  #isTailed(): boolean {
    const { bytes } = this.#reservation;
    const tailAt = bytes.length - TAIL_SIZE;
    return tailAt >= 0 && bytes.subarray(tailAt, tailAt + tailMagic.length).equals(tailMagic);
  }

  /** Hashes the rest of the stream and compares with what was given. */
  #checkChecksum(length: number, tailed: boolean): void {
    const { bytes } = this.#reservation;
    this.#hasher.update(bytes.subarray(this.#hashed, length));
    const checksum = this.#hasher.finish();
    for (const given of [tailed ? bytes.subarray(length + tailMagic.length) : null, this.#command.checksum]) {
      if (given === null || Buffer.compare(checksum, given) === 0) continue;
      throw new StoreError('checksum_mismatch', { bytes: length });
    }
  }

  #walk(length: number): WalkedStream {
    const walked: WalkedStream | ArrowRefusal = walkStream(this.#reservation.bytes.subarray(0, length), { schemas });
    if (!walked.ok) throw new StoreError(walked.code, { ...walked.details, reason: walked.message });
    if (walked.fields.length === 0) throw new StoreError('arrow_malformed', { reason: 'no column but index_id' });
    let rows = 0;
    for (const batch of walked.batches) rows += batch.rows;
    if (rows > limits.putRowsMax) throw new StoreError('too_many_rows', { rows, limit: limits.putRowsMax });
    checkDistinct(walked.batches.map((batch) => batch.ids));
    return walked;
  }

  /** Runs in one turn up to the commit. */
  #commit(walked: WalkedStream, length: number): Promise<PutAnswer> {
    const node = this.#node;
    const { state, segments } = node.parts;
    const partition = this.#partition;
    if (partition.dropped)
      throw new StoreError('partition_unknown', { partition: partition.settings.name, dropped: true });
    const earlier = state.requests.get(this.#command.requestId);
    if (earlier !== undefined) return this.abort().then(() => repeat(node, partition, earlier, this.#level));
    const ackClaim = this.#ackedClaim(partition);
    const { fields, settings } = planColumns(partition, walked.fields);
    const batches = walked.batches.map((batch) => columnsOf(fields, batch));
    checkEventSize(batches);
    this.#checkRows(partition, batches, fields);
    if (settings !== null) commitDeclaration(node, partition.id, settings);
    const { segment, offset } = this.#reservation;
    const event: InsertEvent = {
      type: 'insert',
      partition: partition.id,
      requestId: this.#command.requestId,
      extent: { segment: segment.id, offset, length, blocks: this.#hasher.blocks },
      batches,
      ackClaim,
    };
    this.#ended = true;
    segments.commit(this.#reservation, length);
    const { lsn, rows, commit } = node.commit(event, this.#level);
    return commit.then(() => ({ lsn, rows, ack: this.#level }));
  }

  #ackedClaim(partition: Partition): number {
    const { claim, requestId } = this.#command;
    if (claim === null) return 0;
    const { ref } = claimOf(this.#node, claim);
    if (ref.partition !== partition.id)
      throw new StoreError('claim_unknown', { reason: 'the claim is of another partition' });
    const decision = machine.decideAck(this.#node.parts.state.queue(partition), { claim: ref.claim, requestId });
    if (decision.kind === 'refuse') throw new StoreError(decision.code, { partition: partition.settings.name });
    if (decision.kind === 'already')
      throw new StoreError('claim_stale', { reason: 'the claim was acked before this put' });
    return ref.claim;
  }

  #checkRows(partition: Partition, batches: readonly BatchColumns[], fields: readonly number[]): void {
    const queue = this.#node.parts.state.queue(partition);
    for (const { ids } of batches) {
      const refusal = machine.decideInsert(queue, { ids, fields });
      if (refusal !== undefined) throw new StoreError(refusal.code, { partition: partition.settings.name });
      checkScatter(this.#partition, queue, ids);
      if (!this.#command.ifAbsent) continue;
      const there = ids.filter((id) => fields.some((field) => machine.rowHas(queue, id, [field])));
      if (there.length > 0) throw new StoreError('rows_exist', { ids: [...there.slice(0, 16)], count: there.length });
    }
  }
}

/** Only a partition of many fields can have rows of many puts, since each of these shows a cell. */
function checkScatter(partition: Partition, queue: PartitionQueue, ids: Float64Array): void {
  if (partition.fields.length < limits.putsPerRowMax) return;
  for (const id of presentRows(queue, ids)) {
    if (partition.index.putsOf(id) < limits.putsPerRowMax) continue;
    throw new StoreError('row_too_scattered', { id, limit: limits.putsPerRowMax });
  }
}

function columnsOf(fields: readonly number[], batch: WalkedStream['batches'][number]): BatchColumns {
  const columns = batch.columns.map(({ regions }, index) => ({ field: fields[index], regions }));
  return { rows: batch.rows, ids: batch.ids, columns };
}

/**
 * Bytes that a batch and a column of it take in the event beside ids and regions; see the insert codec in events.ts.
 */
const EVENT_SIZE_PER_BATCH = 16;
const EVENT_SIZE_PER_COLUMN = 8;
const EVENT_SIZE_FIXED = 64 << 10;

/** An event that recovery would not read must not be written: many batches of many columns make a long one. */
function checkEventSize(batches: readonly BatchColumns[]): void {
  let size = EVENT_SIZE_FIXED;
  for (const { ids, columns } of batches) {
    size += EVENT_SIZE_PER_BATCH + 8 * ids.length;
    for (const { regions } of columns) size += EVENT_SIZE_PER_COLUMN + 8 * regions.length;
  }
  if (size <= PAYLOAD_SIZE_MAX) return;
  const columns = batches.reduce((sum, batch) => sum + batch.columns.length, 0);
  throw new StoreError('too_many_batches', { batches: batches.length, columns, reason: 'too many columns in all' });
}

/** Rising ids, the common case, need no table. */
function checkDistinct(batches: readonly Float64Array[]): void {
  let last = -1;
  let rising = true;
  for (const ids of batches) {
    for (const id of ids) {
      if (id <= last) rising = false;
      last = id;
    }
  }
  if (rising) return;
  const seen = new Set<number>();
  for (const ids of batches) {
    for (const id of ids) {
      if (seen.has(id)) throw new StoreError('ids_duplicate', { id });
      seen.add(id);
    }
  }
}
