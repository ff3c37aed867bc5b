/** A node over a simulated or real Env, and puts and reads as a client would make them. */
import { encodeBatch, walkStream, type EncodedColumn } from '@transfer-queue/core/arrow';
import type { FieldLayout } from '@transfer-queue/core/layout';
import { TAGS_COLUMN, TAIL_MAGIC } from '@transfer-queue/core/protocol';
import { loadCore } from '@transfer-queue/core/wasm';
import type { Env } from '../../server/env/env.ts';
import { openNode, type NodeOptions, type OpenedNode } from '../../server/engine/open.ts';
import type { Node } from '../../server/engine/node.ts';
import { checkPut, openPut, type PutAnswer } from '../../server/engine/put.ts';
import { read } from '../../server/engine/read.ts';
import { takeClaim } from '../../server/engine/claims.ts';
import { declare } from '../../server/engine/partitions.ts';
import type { Caller, ClaimTake, DeclareCommand, PutCommand } from '../../server/engine/commands.ts';
import { composeAnswer } from '../../server/store/answer.ts';
import { AnswerWindows } from '../../server/store/windows.ts';
import type { Located } from '../../server/store/locate.ts';

export const core = loadCore();
export const caller: Caller = { onClose: (): void => undefined };

export function openTestNode(
  env: Env,
  directory: string,
  memorySize = 32 << 20,
  more: Partial<NodeOptions> = {},
): Promise<OpenedNode> {
  return openNode({
    env,
    core,
    directory,
    memorySize,
    frameSize: 1 << 20,
    blockCacheSize: 4 << 20,
    indexCacheSize: 4 << 20,
    syncIntervalMs: 1_000,
    memoryWaitMsMax: 1_000,
    putBodySizeMax: memorySize / 2,
    answerSizeMax: 1 << 30,
    ...more,
  });
}

export function declareTest(
  node: Node,
  name: string,
  options: Partial<DeclareCommand> = {},
): ReturnType<typeof declare> {
  return declare(node, { name, fields: null, open: null, groupSize: null, ack: null, queue: {}, ...options });
}

/** A put body of one ragged column of bytes: row i has the value `values[i]`, and is tagged as `tags[i]` says. */
export function bodyOf(
  ids: readonly number[],
  field: string,
  values: readonly string[],
  tail = true,
  tags?: readonly string[],
): Buffer {
  const columns = [textColumn(field, { layout: 'bytes' }, values)];
  if (tags !== undefined) columns.push(textColumn(TAGS_COLUMN, { layout: 'text' }, tags));
  const stream = Buffer.concat(encodeBatch(Float64Array.from(ids), columns));
  if (!tail) return stream;
  const hasher = core.bodyHasher();
  hasher.update(stream);
  return Buffer.concat([stream, Buffer.from(TAIL_MAGIC), hasher.finish()]);
}

export function textColumn(name: string, layout: FieldLayout, values: readonly string[]): EncodedColumn {
  const bytes = values.map((value) => Buffer.from(value));
  const offsets = new Int32Array(values.length + 1);
  for (const [i, value] of bytes.entries()) offsets[i + 1] = offsets[i] + value.length;
  return { name, layout, offsets, values: Buffer.concat(bytes) };
}

export async function putBody(
  node: Node,
  partition: string,
  body: Buffer,
  options: Partial<PutCommand> = {},
  from: Caller = caller,
): Promise<PutAnswer> {
  const command: PutCommand = {
    partition,
    length: body.length,
    requestId: '',
    ack: null,
    ifAbsent: false,
    waitMs: 0,
    claim: null,
    checksum: null,
    ...options,
  };
  const place = checkPut(node, command);
  if (place.done !== null) return place.done;
  const put = await openPut(node, command, place);
  for (let at = 0; at < body.length;) {
    const room = put.room;
    const size = Math.min(room.length, 100_000, body.length - at);
    room.set(body.subarray(at, at + size));
    put.wrote(size);
    at += size;
  }
  return put.finish(from);
}

export function putText(
  node: Node,
  partition: string,
  ids: readonly number[],
  field: string,
  values: readonly string[],
  options: Partial<PutCommand> = {},
  from: Caller = caller,
): Promise<PutAnswer> {
  return putBody(node, partition, bodyOf(ids, field, values), options, from);
}

/** The answer of what was located, which is let go of. */
export async function bytesOf(node: Node, located: Located): Promise<Buffer> {
  const { reader, core: hashing } = node.parts;
  const pieces = await composeAnswer(reader, located, { answerSizeMax: 1 << 30, attempts: null });
  const windows = new AnswerWindows({ reader, located, pieces, core: hashing, tail: false });
  const parts: Buffer[] = [];
  let size = 0;
  while (size < windows.size) {
    const window = await windows.next();
    for (const part of window.parts) parts.push(Buffer.from(part));
    size = parts.reduce((sum, part) => sum + part.length, 0);
    window.release();
  }
  windows.close();
  located.close();
  return Buffer.concat(parts);
}

/** The values of the bytes columns of what was located, by field. */
export async function valuesOf(node: Node, located: Located): Promise<Record<string, string[]>> {
  return valuesIn(await bytesOf(node, located));
}

/** The values of the bytes columns of an answer, by field. */
export function valuesIn(answer: Buffer): Record<string, string[]> {
  const stream = new Uint8Array(answer);
  const walked = walkStream(stream);
  if (!walked.ok) throw new Error(`the answer is not valid: ${walked.message}`);
  const [batch] = walked.batches;
  const values: Record<string, string[]> = { index_id: [...batch.ids].map(String) };
  for (const [i, { name }] of walked.fields.entries()) {
    const [offsetsAt, , valuesAt] = batch.columns[i].regions;
    const view = new DataView(stream.buffer, stream.byteOffset);
    values[name] = Array.from({ length: batch.rows }, (_, row) => {
      const [from, to] = [view.getInt32(offsetsAt + 4 * row, true), view.getInt32(offsetsAt + 4 * row + 4, true)];
      return Buffer.from(stream.subarray(valuesAt + from, valuesAt + to)).toString();
    });
  }
  return values;
}

export async function readText(
  node: Node,
  partition: string,
  ids: readonly number[],
  fields: readonly string[] | null = null,
): Promise<Record<string, string[]>> {
  const outcome = await read(
    node,
    { partition, select: { by: 'ids', ids: Float64Array.from(ids) }, fields, waitMs: 0 },
    caller,
  );
  if (outcome.kind !== 'rows') throw new Error(`the read ended as ${outcome.kind}`);
  return valuesOf(node, outcome.located);
}

export function claimOf(
  node: Node,
  partition: string,
  take: Partial<ClaimTake> & { fields: readonly string[] },
): ReturnType<typeof takeClaim> {
  const rowsMax = take.rowsMax ?? 8;
  const full: ClaimTake = {
    partition,
    task: 'task',
    rowsMax,
    rowsMin: 1,
    sampler: 'fifo',
    leaseMs: 10_000,
    waitMs: 0,
    autoAck: false,
    requestId: '',
    ...take,
  };
  return takeClaim(node, full, caller);
}
