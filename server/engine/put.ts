/**
 * One put: room for the body, its bytes as they arrive, its check, its commit.
 *
 *   openPut -> [bytes -> hash, write behind] -> finish: checksum, walk, written
 *           -> fit the partition, room in the budgets -> commit -> answer
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
import type { BatchColumns, BlobColumn, InsertEvent, PartitionSettings } from '../journal/events.ts';
import { machine, type TagChange } from '../queue/machine.ts';
import type { Reservation } from '../segment/segments.ts';
import { WriteBehind } from '../segment/write_behind.ts';
import { blobCellsOf, type BlobCells } from '../store/blob_columns.ts';
import type { Partition } from '../store/partition.ts';
import { tagsOf, withoutTags } from '../store/tags_column.ts';
import { blobsLsn, checkBlobs } from './blobs.ts';
import { claimOf } from './claims.ts';
import type { AskingPut } from './budgets.ts';
import type { Caller, PutCommand } from './commands.ts';
import { commitDeclaration, planColumns } from './partitions.ts';
import type { Node } from './node.ts';
import { checkDistinct, checkEventSize, checkScatter } from './put_checks.ts';
import type { RequestOutcome } from './requests.ts';
import { isStaging } from './staging.ts';
import type { IdList } from './state.ts';
import { checkTags, draftTags } from './tags.ts';

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

/** What becomes of a put that fits. */
interface PutPlan {
  /** The claim that it acks; 0 for none. */
  readonly ackClaim: number;
  readonly batches: readonly BatchColumns[];
  /** Settings with the fields that it declares; null when it declares none. */
  readonly settings: PartitionSettings | null;
  readonly tags: TagChange | undefined;
  readonly blobs: readonly BlobColumn[] | undefined;
}

/** Its columns but that of the tags, and what that one says of each row; undefined when it says nothing. */
interface WalkedPut extends WalkedStream {
  readonly tags: TagChange | undefined;
  /** What its cells of layout blob name, by column. */
  readonly blobs: readonly BlobCells[] | undefined;
}

const tailMagic = Buffer.from(TAIL_MAGIC, 'latin1');
const schemas = new SchemaCache();

/** Refuses what can be refused before the body; answers a retry of a put that is done. */
export function checkPut(
  node: Node,
  command: PutCommand,
): { partition: Partition; level: AckLevel; done: Promise<PutAnswer> | null } {
  const partition = node.partitionToPut(command.partition);
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
  /** What it asks of the budgets, once its rows are known. */
  #asking: AskingPut | null = null;
  /** All blobs that it names were there by then, once they were. */
  #blobsLsn: number | null = null;
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

  get partition(): Partition {
    return this.#partition;
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
  async finish(caller: Caller): Promise<PutAnswer> {
    try {
      const tailed = this.#isTailed();
      const length = this.#reservation.length - (tailed ? TAIL_SIZE : 0);
      this.#writes.end(length);
      this.#checkChecksum(length, tailed);
      const walked = this.#walk(length);
      await this.#writes.finish();
      if (this.#level === 'disk') await this.#syncData();
      return await this.#commitWhenPossible(walked, length, caller);
    } catch (error) {
      await this.abort();
      throw asDiskFull(this.#node, error);
    }
  }

  /** Checks and commits in one turn, the first in which nothing is in the way. */
  async #commitWhenPossible(walked: WalkedPut, length: number, caller: Caller): Promise<PutAnswer> {
    const { batches } = walked;
    const lists = batches.map((batch) => batch.ids);
    const deadlineMs = this.#node.parts.env.clock.nowMs() + this.#command.waitMs;
    for (;;) {
      const put = await this.#draftTags(walked);
      await this.#node.checkpoints.admit();
      for (let wait = this.#obstacle(walked); wait !== null; wait = this.#obstacle(walked)) await wait;
      const earlier = this.#node.parts.state.requests.get(this.#command.requestId);
      if (earlier !== undefined) {
        await this.abort();
        return repeat(this.#node, this.#partition, earlier, this.#level);
      }
      const plan = this.#plan(put);
      const room = this.#room({ lists, length, deadlineMs, caller });
      if (room === null) return this.#commit(plan, length);
      await room;
      // Meanwhile the disk may have become full.
      if (this.#level !== 'memory') this.#node.checkRoom();
    }
  }

  /** What the commit has to wait for: rows that lie on disk, room in the journal. Null when it can be now. */
  #obstacle({ batches, blobs }: { batches: readonly IdList[]; blobs: WalkedPut['blobs'] }): Promise<void> | null {
    const node = this.#node;
    // A row that survives a power cut must not name blobs that do not. Those that come meanwhile are of others.
    if (blobs !== undefined && this.#level === 'disk') {
      this.#blobsLsn ??= blobsLsn(node, this.#partition, blobs);
      if (this.#blobsLsn !== null && this.#blobsLsn > node.parts.journal.durableLsn) return node.makeDurable();
    }
    const ids = node.parts.state.unready(this.#partition, batches);
    if (ids !== null) return this.#partition.index.load(ids);
    const room = node.journalRoom(this.#level);
    // What held the journal up may have been a full disk.
    return room === null ? null : room.then(() => node.checkRoom());
  }

  /** Null when the budgets have room for its new rows. A put that waits for it needs no memory, if it is on disk. */
  #room(put: {
    lists: readonly Float64Array[];
    length: number;
    deadlineMs: number;
    caller: Caller;
  }): Promise<void> | null {
    const { lists, length: size, deadlineMs, caller } = put;
    this.#asking ??= {
      partition: this.#partition,
      ids: lists.length === 1 ? lists[0] : concat(lists),
      ...{ size, deadlineMs, caller },
      holds: this.#level === 'memory' ? this.#reservation.segment : null,
    };
    const room = this.#node.budgets.obstacle(this.#asking);
    if (room !== null) this.#node.parts.segments.park(this.#reservation);
    return room;
  }

  /** Gives the room back, once the writes that are under way have let go of it. */
  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#asking !== null) this.#node.budgets.end(this.#asking);
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

  #walk(length: number): WalkedPut {
    const stream = this.#reservation.bytes.subarray(0, length);
    const walked: WalkedStream | ArrowRefusal = walkStream(stream, { schemas });
    if (!walked.ok) throw new StoreError(walked.code, { ...walked.details, reason: walked.message });
    const columns = withoutTags(walked);
    const texts = tagsOf(stream, walked);
    const tags = texts && { ids: concat(walked.batches.map((batch) => batch.ids)), tags: texts };
    const put = { ...columns, tags, blobs: blobCellsOf(stream, columns) };
    if (put.fields.length === 0) throw new StoreError('arrow_malformed', { reason: 'no column of a field' });
    let rows = 0;
    for (const batch of walked.batches) rows += batch.rows;
    if (rows > limits.putRowsMax) throw new StoreError('too_many_rows', { rows, limit: limits.putRowsMax });
    checkDistinct(walked.batches.map((batch) => batch.ids));
    return put;
  }

  /** The put with what is known of its tags before the turn of the commit; not kept while it waits for room. */
  async #draftTags(walked: WalkedPut): Promise<WalkedPut> {
    const { tags } = walked;
    if (tags === undefined) return walked;
    return { ...walked, tags: { ...tags, drafts: await draftTags(this.#node, this.#partition, tags) } };
  }

  /** Fits the put to its partition as it is in this turn. */
  #plan({ fields: columns, batches: walked, tags, blobs: cells }: WalkedPut): PutPlan {
    const partition = this.#partition;
    const { partition: name } = this.#command;
    // One of a load has another name once it is adopted.
    if (this.#node.parts.state.store.partition(name) !== partition)
      throw new StoreError('partition_unknown', { partition: name, dropped: partition.dropped });
    if (isStaging(partition)) this.#node.loads.checkPut(partition);
    const ackClaim = this.#ackedClaim(partition);
    const { fields, settings } = planColumns(partition, columns);
    const batches = walked.map((batch) => columnsOf(fields, batch));
    const blobs = cells?.map(({ column, ...named }) => ({ field: fields[column], ...named }));
    checkEventSize(batches, tags?.tags, blobs);
    this.#checkRows(partition, batches, fields);
    if (tags !== undefined) checkTags(this.#node, partition, tags, { withPut: true });
    if (blobs !== undefined) checkBlobs(this.#node, partition, blobs);
    return { ackClaim, batches, settings, tags, blobs };
  }

  /** In the turn of the plan. */
  async #commit({ ackClaim, batches, settings, tags, blobs }: PutPlan, length: number): Promise<PutAnswer> {
    const node = this.#node;
    const partition = this.#partition.id;
    if (settings !== null) commitDeclaration(node, partition, settings);
    const { segment, offset } = this.#reservation;
    const { requestId } = this.#command;
    const extent = { segment: segment.id, offset, length, blocks: this.#hasher.blocks };
    const texts = tags?.tags;
    const event: InsertEvent = { type: 'insert', partition, requestId, extent, batches, ackClaim, tags: texts, blobs };
    this.#ended = true;
    if (this.#asking !== null) node.budgets.end(this.#asking);
    node.parts.segments.commit(this.#reservation, length);
    node.parts.state.prepareTags(tags?.drafts);
    const { lsn, rows, commit } = node.commit(event, this.#level);
    await commit;
    return { lsn, rows, ack: this.#level };
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

function columnsOf(fields: readonly number[], batch: WalkedStream['batches'][number]): BatchColumns {
  const columns = batch.columns.map(({ regions }, index) => ({ field: fields[index], regions }));
  return { rows: batch.rows, ids: batch.ids, columns };
}

function concat(lists: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return all;
}
