/**
 * Puts: the rows of a call, split by node and by the limits, each part one atomic request.
 *
 * Invariants: the parts of a node go out in the order of the rows; the claim of a put is acked with the last part of
 * the node that granted it, when all other parts are in; each part has its own request id and its own deadline.
 */
import { INDEX_COLUMN, TAGS_COLUMN, TAIL_SIZE, type AckLevel, type Limits } from '@transfer-queue/core/protocol';
import { walkStream } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { isArrowTable } from './arrow.ts';
import { nameBlobs, uploadMissing } from './blobs.ts';
import { arrowBody, type RequestBody } from './body.ts';
import { ClaimedBatch } from './claimed_batch.ts';
import { isRows, pickRows, putBodies, toRows, type Ids, type PutData } from './encode.ts';
import { clientError } from './errors.ts';
import type { CallOptions } from './options.ts';
import { sendForRoom } from './room.ts';
import { withTags, type TagPatches } from './tags.ts';
import type { Target } from './target.ts';

export interface PutOptions extends CallOptions {
  /** The ids of the rows. Needed unless the data has a column `index_id`. */
  readonly ids?: Ids;
  /** Refuse the put (`rows_exist`) when any of its cells is there already. Default false: the newer cell wins. */
  readonly ifAbsent?: boolean;
  /** A stronger ack level than the partition's, for this put. */
  readonly ack?: AckLevel;
  /** A claim that this put acks: results in and rows consumed, as one event. */
  readonly claim?: ClaimedBatch | string;
  /**
   * One object for all rows, or one for each, merged into the tags of the rows as `tag` does; they are there no later
   * than the fields.
   */
  readonly tags?: TagPatches;
  /**
   * How long new rows wait for room in the budgets and the pace of the partition, in milliseconds. Default 0: not at
   * all; Infinity waits until the signal aborts. Rows that are there get their fields without a wait.
   */
  readonly waitMs?: number;
  /** Layouts of fields that the partition has not declared yet. */
  readonly layouts?: Readonly<Record<string, FieldLayout>>;
}

/** What a put did. */
export interface PutResult {
  /** The highest LSN. */
  readonly lsn: number;
  /** One LSN per part; one part, unless the call exceeded a limit or went to several nodes. */
  readonly lsns: readonly number[];
  /** The number of rows. */
  readonly rows: number;
  /** How far the rows were when the put was acknowledged. */
  readonly ack: AckLevel;
}

interface PutAnswer {
  readonly lsn: number;
  readonly rows: number;
  readonly ack: AckLevel;
}

type Layouts = (fields: readonly string[]) => Promise<Readonly<Record<string, FieldLayout>>>;

export async function put(target: Target, data: PutData, options: PutOptions, layouts: Layouts): Promise<PutResult> {
  const { wire, partition, groupSize } = target;
  const { claim, ids, tags, signal, waitMs = 0 } = options;
  const endMs = wire.runtime.nowMs() + waitMs;
  const limits = await wire.limits(signal);
  const { url: claimUrl, token } = claimOf(claim, (await wire.shards(signal)).nodes[0].url);
  const query = queryOf(options);
  let isAcked = false;

  const send = async (url: string, bodies: Iterable<RequestBody>): Promise<PutAnswer[]> => {
    const answers: PutAnswer[] = [];
    for (const [body, isLast] of withLast(bodies)) {
      const acks = isLast && token !== undefined && url === claimUrl;
      const call = { url, route: 'put', names: { partition }, body, signal } as const;
      const part = { ...call, query: acks ? { ...query, claim: token } : query };
      answers.push((await sendForRoom(wire, part, endMs)) as unknown as PutAnswer);
      isAcked ||= acks;
    }
    return answers;
  };
  const sendRows = async (): Promise<PutAnswer[]> => {
    const declared = await layouts(plainFields(data));
    const known = { ...options.layouts, ...declared };
    const named = await nameBlobs(data, known);
    const given = toRows(named.data, { ids, layouts: { ...known, [TAGS_COLUMN]: { layout: 'text' } } });
    const rows = tags === undefined ? given : withTags(given, tags);
    const bounds = { rowsMax: limits.putRowsMax, bytesMax: limits.putBodyBytesMax };
    const routed = { ids: rows.ids, groupSize, signal, lastUrl: claimUrl };
    const sent = await wire.eachShare(routed, async ({ node, positions }) => {
      const mine = pickRows(rows, positions);
      await uploadMissing(target, node.url, { rows: mine, blobs: named.blobs, endMs, signal });
      return send(node.url, putBodies(mine, bounds));
    });
    return sent.flat();
  };

  const isWhole = data instanceof Uint8Array && ids === undefined && tags === undefined && isWholePut(data, limits);
  const answers = isWhole
    ? await wire.onNodes(signal, (nodes) =>
        nodes.length === 1 ? send(nodes[0].url, [arrowBody([data], { tail: true })]) : sendRows(),
      )
    : await sendRows();
  if (token !== undefined && !isAcked)
    await wire.send({ url: claimUrl, route: 'ack', names: { claim: token }, signal });
  if (claim instanceof ClaimedBatch) claim.markAcked();
  return resultOf(answers);
}

function queryOf({ ack, ifAbsent }: PutOptions): Record<string, string> {
  return { ...(ack === undefined ? {} : { ack }), ...(ifAbsent === true ? { if_absent: '1' } : {}) };
}

function claimOf(claim: PutOptions['claim'], url: string): { url: string | undefined; token: string | undefined } {
  if (claim instanceof ClaimedBatch) return { url: claim.url, token: claim.token };
  return { url: claim === undefined ? undefined : url, token: claim };
}

/** The fields whose layout has to be known: plain columns do not bring it along, as tables, bytes and batches do. */
function plainFields(data: PutData): string[] {
  if (data instanceof Uint8Array || isRows(data) || isArrowTable(data)) return [];
  return Object.keys(data).filter((name) => name !== INDEX_COLUMN && name !== TAGS_COLUMN);
}

/** Whether bytes can be sent as they are: a valid stream of at most one put. */
function isWholePut(bytes: Uint8Array, limits: Limits): boolean {
  if (bytes.byteOffset % 8 !== 0 || bytes.length + TAIL_SIZE > limits.putBodyBytesMax) return false;
  const walked = walkStream(bytes);
  return walked.ok && walked.batches.reduce((rows, batch) => rows + batch.rows, 0) <= limits.putRowsMax;
}

function resultOf(answers: readonly PutAnswer[]): PutResult {
  const lsns = answers.map(({ lsn }) => lsn);
  if (!lsns.every(Number.isSafeInteger)) throw clientError('answer_invalid', 'The answer to a put has no LSN.');
  const rows = answers.reduce((sum, answer) => sum + answer.rows, 0);
  return { lsn: Math.max(...lsns), lsns, rows, ack: answers[0].ack };
}

/** Each item with whether it is the last one. */
function* withLast<T>(items: Iterable<T>): Generator<[item: T, isLast: boolean]> {
  let previous: { item: T } | undefined;
  for (const item of items) {
    if (previous !== undefined) yield [previous.item, false];
    previous = { item };
  }
  if (previous !== undefined) yield [previous.item, true];
}
