/**
 * Reads: ids split by node and by the limits, waits split into calls, answers merged in the order asked.
 *
 *   ids -> shares (one per node) -> calls (readRowsMax ids; halved when an answer is too large) -> parts -> one batch
 *
 * Invariants: a read gives all rows asked for or throws; a wait ends as rows, `timed_out` or `drained`, never as
 * anything else; the parts of one read share one wait.
 */
import { ID_END, headers as headerNames, outcomes } from '@transfer-queue/core/protocol';
import { Batch, mergeParts, readRows, type Part } from './batch.ts';
import { blobSource } from './blobs.ts';
import { toIds, type Ids } from './encode.ts';
import { TransferQueueError, clientError } from './errors.ts';
import type { CallOptions, WaitOptions } from './options.ts';
import { TURN_MS, type Share } from './shards.ts';
import { lsnFor, type Snapshot } from './snapshot.ts';
import { idsPerCall, type Target } from './target.ts';
import type { Answer } from './transport.ts';
import { answerJson, lsnOf } from './wire.ts';

interface FieldOptions {
  /**
   * The fields, in the order wanted. Default: all fields of the partition. `tq_tags` among them brings the tags, see
   * `Batch.tags`.
   */
  readonly fields?: readonly string[];
}

interface StateOptions {
  /** The state to read, which a snapshot holds; see `client.snapshot`. Not with `waitMs`. Default: that of now. */
  readonly lsn?: number | Snapshot;
}

/** What to read of the rows. */
export interface ReadOptions extends WaitOptions, FieldOptions, StateOptions {}

export interface NewestOptions extends WaitOptions, FieldOptions {
  /** Only a row with a higher LSN, such as that of the batch read last, will do. Default: any. */
  readonly afterLsn?: number;
}

export interface ScanOptions extends CallOptions, FieldOptions, StateOptions {
  /** The first id. Default 0. */
  readonly start?: number;
  /** The id before which to stop. Default: none. */
  readonly end?: number;
  /** The most rows of one batch. Default 1,024. */
  readonly rowsMax?: number;
}

export async function readIds(target: Target, given: Ids, options: ReadOptions): Promise<Batch> {
  const { wire } = target;
  const { fields, lsn, signal, waitMs = 0 } = options;
  const ids = toIds(given);
  const until = { endMs: wire.runtime.nowMs() + waitMs, waits: waitMs > 0, signal };
  const rowsMax = idsPerCall(await wire.limits(signal), fields);

  const lsnAt = async (url: string): Promise<number | undefined> =>
    lsnFor(lsn, url, (await wire.shards(signal)).nodes.length);
  const readSome = async (share: Share, positions: Uint32Array): Promise<Part[]> => {
    try {
      const json = { ids: Array.from(positions, (at) => ids[at]), fields, lsn: await lsnAt(share.node.url) };
      const batch = await readRowsOf(target, { url: share.node.url, json, until });
      if (batch.rows !== positions.length) throw clientError('answer_invalid', 'The answer lacks rows asked for.');
      return [{ positions, batch }];
    } catch (error) {
      if (!isTooLarge(error) || positions.length <= 1) throw error;
      const middle = Math.ceil(positions.length / 2);
      const first = await readSome(share, positions.subarray(0, middle));
      return [...first, ...(await readSome(share, positions.subarray(middle)))];
    }
  };
  const parts = await wire.eachShare({ ids, groupSize: target.groupSize, signal }, async (share) => {
    const read: Part[] = [];
    for (let at = 0; at === 0 || at < share.positions.length; at += rowsMax) {
      read.push(...(await readSome(share, share.positions.subarray(at, at + rowsMax))));
    }
    return read;
  });
  return mergeParts(parts.flat(), ids.length);
}

export function readNewest(target: Target, options: NewestOptions): Promise<Batch> {
  const { fields, afterLsn, waitMs = 0, signal } = options;
  const { wire } = target;
  const endMs = wire.runtime.nowMs() + waitMs;
  const json = { newest: afterLsn === undefined ? {} : { after_lsn: afterLsn }, fields };
  return wire.onNodes(signal, async (nodes) => {
    const turnMs = nodes.length === 1 ? Infinity : TURN_MS;
    for (;;) {
      const leftMs = endMs - wire.runtime.nowMs();
      const until = { endMs: Math.min(endMs, wire.runtime.nowMs() + turnMs), waits: waitMs > 0, signal };
      const found = await Promise.allSettled(nodes.map(({ url }) => readRowsOf(target, { url, json, until })));
      const batches = found.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      if (batches.length > 0) return batches.reduce((best, batch) => (batch.lsn > best.lsn ? batch : best));
      const failed = found.flatMap((result) => (result.status === 'rejected' ? [result.reason as Error] : []));
      const worst = failed.find((error) => !isNotYet(error));
      if (worst !== undefined || leftMs <= turnMs) throw worst ?? failed[0];
    }
  });
}

export async function* scanRows(target: Target, options: ScanOptions): AsyncGenerator<Batch, void, undefined> {
  const { wire, partition } = target;
  const { fields, signal, start = 0, end = ID_END } = options;
  const { readRowsMax } = await wire.limits(signal);
  const { nodes } = await wire.shards(signal);
  for (const { url } of nodes) {
    const lsn = lsnFor(options.lsn, url, nodes.length);
    let rowsMax = Math.min(options.rowsMax ?? 1_024, readRowsMax);
    let at = start;
    while (at < end) {
      const json = { range: { start: at, end, rows_max: rowsMax }, fields, lsn };
      let answer: Answer;
      try {
        answer = await wire.send({ url, route: 'read', names: { partition }, json, signal });
      } catch (error) {
        if (!isTooLarge(error) || rowsMax <= 1) throw error;
        rowsMax = Math.ceil(rowsMax / 2);
        continue;
      }
      const batch = batchOf(target, url, answer);
      if (batch.rows > 0) yield batch;
      at = Number(answer.headers[headerNames.next] ?? end);
    }
  }
}

interface Until {
  /** On the clock of the runtime. */
  readonly endMs: number;
  /** Whether to wait at all. */
  readonly waits: boolean;
  readonly signal: AbortSignal | undefined;
}

/** One read at one node, asked again as long as its wait goes on. */
async function readRowsOf(
  target: Target,
  { url, json, until }: { url: string; json: object; until: Until },
): Promise<Batch> {
  const { wire, partition } = target;
  const { waitMsMax } = await wire.limits(until.signal);
  for (;;) {
    const leftMs = until.waits ? Math.max(0, until.endMs - wire.runtime.nowMs()) : 0;
    // A wait that is over when it is sent still ends as a wait does, not as a look without one.
    const waitMs = Math.max(until.waits ? 1 : 0, Math.ceil(Math.min(leftMs, waitMsMax)));
    const call = { url, route: 'read', names: { partition }, json: { ...json, wait_ms: waitMs }, waitMs } as const;
    const answer = await wire.send({ ...call, signal: until.signal });
    const outcome = answer.headers[headerNames.outcome];
    if (outcome === outcomes.drained) throw clientError('drained', undefined, { details: answerJson(answer) });
    if (outcome !== outcomes.timedOut) return batchOf(target, url, answer);
    if (leftMs <= waitMsMax) throw clientError('timed_out', undefined, { details: answerJson(answer) });
  }
}

function batchOf({ wire, partition }: Target, url: string, answer: Answer): Batch {
  const { rows, tags } = readRows(answer.bytes);
  return new Batch(rows, { lsn: lsnOf(answer), bytes: answer.bytes, tags, blobs: blobSource(wire, partition, url) });
}

function isTooLarge(error: unknown): boolean {
  return error instanceof TransferQueueError && error.code === 'answer_too_large';
}

function isNotYet(error: Error): boolean {
  return error instanceof TransferQueueError && (error.code === 'rows_missing' || error.code === 'timed_out');
}
