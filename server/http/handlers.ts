/**
 * What each route of core/protocol.ts does: reads the request, asks the engine, writes the answer.
 *
 * Handlers may throw or reject; `serve` makes an error answer of it. None of them touches state but through the engine.
 */
import { parseLayout, type FieldLayout } from '@transfer-queue/core/layout';
import {
  ackLevels,
  ClaimRequest,
  defaults,
  DeleteRequest,
  headers,
  ID_END,
  NAME_PATTERN,
  outcomes,
  PartitionRequest,
  ReadRequest,
  RenewRequest,
  SnapshotRequest,
  REQUEST_ID_PATTERN,
  RESERVED_PREFIX,
  INDEX_COLUMN,
  type AckLevel,
  type RouteName,
} from '@transfer-queue/core/protocol';
import { checksumFromHex } from '@transfer-queue/core/wasm';
import { endClaim, renewClaim, takeClaim } from '../engine/claims.ts';
import type { Selection, WaitEnd } from '../engine/commands.ts';
import type { Node } from '../engine/node.ts';
import { declare, deleteRows, describe, drop, seal } from '../engine/partitions.ts';
import { checkPut, openPut, type Put } from '../engine/put.ts';
import { read, readCell, rowStatus } from '../engine/read.ts';
import { StoreError } from '../errors.ts';
import { cellFormat, respondArrow, respondCell } from './arrow_answer.ts';
import { checkArrowType, jsonWith, receiveJson, respondJson } from './body.ts';
import type { Exchange } from './exchange.ts';
import { tqHeader } from './head.ts';
import type { Parameters } from './router.ts';
import { decodeQuery } from './target.ts';

export type NodeHandler = (node: Node, exchange: Exchange, parameters: Parameters) => void | Promise<void>;

/** The routes that need a node; the others are answered by app.ts. */
export type NodeRoute = Exclude<RouteName, 'health' | 'ready' | 'metrics' | 'limits' | 'cluster'>;

export const nodeHandlers: { readonly [Name in NodeRoute]: NodeHandler } = {
  partitions(node, exchange) {
    const partitions = [...node.parts.state.store.partitions()].map((partition) => describe(node, partition));
    respondJson(exchange, { partitions });
  },

  async damage(node, exchange) {
    const { damage } = node.parts;
    respondJson(exchange, { damage: await Promise.all(damage.all().map((one) => damage.describe(one))) });
  },

  partition(node, exchange, { partition }) {
    respondJson(exchange, describe(node, node.partition(partition)));
  },

  async declare(node, exchange, { partition: name }) {
    checkName(name);
    const body = await receiveJson(exchange, PartitionRequest);
    const declared = await declare(node, {
      name,
      fields: body.fields === undefined ? null : parseFields(body.fields),
      open: body.open ?? null,
      groupSize: body.group_size ?? null,
      ack: (body.ack as AckLevel | undefined) ?? null,
    });
    respondJson(exchange, declared);
  },

  async drop(node, exchange, { partition }) {
    respondJson(exchange, { lsn: await drop(node, partition) });
  },

  async seal(node, exchange, { partition }) {
    respondJson(exchange, { lsn: await seal(node, partition) });
  },

  async put(node, exchange, { partition }) {
    checkArrowType(exchange);
    const query = parseQuery(exchange, ['ack', 'if_absent', 'claim']);
    const command = {
      partition,
      length: exchange.head.contentLength,
      requestId: requestIdOf(exchange),
      ack: oneOf(query, 'ack', ackLevels),
      ifAbsent: oneOf(query, 'if_absent', ['0', '1']) === '1',
      claim: query.get('claim') ?? null,
      checksum: checksumOf(exchange),
    };
    const place = checkPut(node, command);
    const answer = place.done ?? receivePut(exchange, await openPut(node, command, place));
    respondJson(exchange, await answer);
  },

  async read(node, exchange, { partition }) {
    const body = await receiveJson(exchange, ReadRequest);
    const command = {
      partition,
      select: selectionOf(body),
      fields: body.fields ?? null,
      waitMs: body.wait_ms ?? defaults.waitMs,
      lsn: body.lsn,
    };
    const outcome = await read(node, command, exchange);
    if (outcome.kind !== 'rows') return respondWaitEnd(exchange, outcome);
    const next = outcome.next === null ? [] : [headers.next, String(outcome.next)];
    await respondArrow(node, exchange, { located: outcome.located, attempts: null, headers: next });
  },

  async delete(node, exchange, { partition }) {
    const body = await receiveJson(exchange, DeleteRequest);
    const ids = Float64Array.from(new Set(body.ids));
    respondJson(exchange, await deleteRows(node, partition, { ids, requestId: requestIdOf(exchange) }));
  },

  async row(node, exchange, { partition, id }) {
    respondJson(exchange, await rowStatus(node, { partition, id: parseId(id) }));
  },

  async cell(node, exchange, { partition, id, field }) {
    const located = await readCell(node, { partition, id: parseId(id), field });
    const format = cellFormat(exchange.head);
    if (format === 'arrow') await respondArrow(node, exchange, { located, attempts: null, headers: [] });
    else await respondCell(node, exchange, located, format);
  },

  async claim(node, exchange, { partition }) {
    const body = await receiveJson(exchange, ClaimRequest);
    const rowsMin = body.rows_min ?? body.rows_max;
    if (rowsMin > body.rows_max) throw new StoreError('json_invalid', { at: '/rows_min', reason: 'exceeds rows_max' });
    const take = {
      partition,
      task: body.task,
      fields: body.fields,
      rowsMax: body.rows_max,
      rowsMin,
      sampler: (body.sampler as 'fifo' | 'group' | undefined) ?? defaults.sampler,
      leaseMs: body.lease_ms ?? defaults.leaseMs,
      waitMs: body.wait_ms ?? defaults.waitMs,
      autoAck: body.auto_ack ?? false,
      requestId: requestIdOf(exchange),
    };
    const outcome = await takeClaim(node, take, exchange);
    if (outcome.kind !== 'claimed') return respondWaitEnd(exchange, outcome);
    const { located, attempts, token, leaseMs } = outcome;
    const lines = [headers.claim, token, headers.leaseMs, String(leaseMs)];
    await respondArrow(node, exchange, { located, attempts, headers: lines }).catch(async (error: unknown) => {
      // Whoever never saw the token cannot give the rows back; those of auto_ack are consumed already.
      if (!exchange.answered && !take.autoAck) await endClaim(node, token, 'release', '');
      throw error;
    });
  },

  async ack(node, exchange, { claim }) {
    respondJson(exchange, { lsn: await endClaim(node, claim, 'ack', requestIdOf(exchange)) });
  },

  async release(node, exchange, { claim }) {
    respondJson(exchange, { lsn: await endClaim(node, claim, 'release', requestIdOf(exchange)) });
  },

  async renew(node, exchange, { claim }) {
    const body = await receiveJson(exchange, RenewRequest);
    respondJson(exchange, { lease_ms: renewClaim(node, claim, body.lease_ms) });
  },

  async openSnapshot(node, exchange) {
    const { lease_ms: leaseMs } = await receiveJson(exchange, SnapshotRequest);
    respondJson(exchange, await node.snapshots.open(leaseMs));
  },

  async renewSnapshot(node, exchange, { snapshot }) {
    const { lease_ms: leaseMs } = await receiveJson(exchange, SnapshotRequest);
    respondJson(exchange, node.snapshots.renew(snapshot, leaseMs));
  },

  closeSnapshot(node, exchange, { snapshot }) {
    respondJson(exchange, node.snapshots.close(snapshot));
  },
};

/** Receives the body at its final place. */
function receivePut(exchange: Exchange, put: Put): Promise<unknown> {
  return new Promise((resolve, reject) => {
    exchange.receive({
      next: () => put.room,
      wrote: (size) => put.wrote(size),
      end: () => void put.finish().then(resolve, reject),
      abort: (reason) => void put.abort().then(() => reject(new StoreError('request_timeout', { reason })), reject),
    });
  });
}

function respondWaitEnd(exchange: Exchange, end: WaitEnd): void {
  const outcome = end.kind === 'drained' ? outcomes.drained : outcomes.timedOut;
  const details = end.kind === 'drained' ? {} : end.details;
  respondJson(exchange, { outcome, ...details }, jsonWith(headers.outcome, outcome));
}

const namePattern = new RegExp(NAME_PATTERN);

function checkName(name: string): void {
  if (!namePattern.test(name))
    throw new StoreError('name_invalid', { name: name.slice(0, 256), grammar: NAME_PATTERN });
}

function parseFields(fields: Readonly<Record<string, unknown>>): ReadonlyMap<string, FieldLayout> {
  const parsed = new Map<string, FieldLayout>();
  for (const [name, json] of Object.entries(fields)) {
    checkName(name);
    if (name === INDEX_COLUMN || name.startsWith(RESERVED_PREFIX))
      throw new StoreError('name_invalid', { name, reason: 'reserved' });
    const layout = parseLayout(json);
    if (typeof layout === 'string') throw new StoreError('layout_invalid', { field: name, reason: layout });
    parsed.set(name, layout);
  }
  return parsed;
}

function selectionOf({ ids, range, newest }: ReadRequest): Selection {
  const given = [ids, range, newest].filter((select) => select !== undefined).length;
  if (given !== 1) throw new StoreError('json_invalid', { reason: 'give exactly one of ids, range and newest' });
  if (ids !== undefined) return { by: 'ids', ids: Float64Array.from(ids) };
  if (newest !== undefined) return { by: 'newest', afterLsn: newest.after_lsn ?? 0 };
  return { by: 'range', start: range!.start, end: range!.end, rowsMax: range!.rows_max ?? defaults.rangeRowsMax };
}

function parseId(text: string): number {
  const id = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : NaN;
  if (id < ID_END) return id;
  throw new StoreError('index_id_invalid', { id: text });
}

const requestIdPattern = new RegExp(REQUEST_ID_PATTERN);

/** Empty when the caller gave none: then a retry is a new request. */
function requestIdOf(exchange: Exchange): string {
  const requestId = tqHeader(exchange.head, headers.requestId);
  if (requestId === undefined) return '';
  if (!requestIdPattern.test(requestId)) throw new StoreError('header_invalid', { header: headers.requestId });
  return requestId;
}

function checksumOf(exchange: Exchange): Uint8Array | null {
  const hex = tqHeader(exchange.head, headers.checksum);
  if (hex === undefined) return null;
  const checksum = checksumFromHex(hex);
  if (checksum === null) throw new StoreError('header_invalid', { header: headers.checksum, wanted: '16 hex digits' });
  return checksum;
}

function parseQuery(exchange: Exchange, known: readonly string[]): ReadonlyMap<string, string> {
  const query = decodeQuery(exchange.head.query);
  if (query === undefined) throw new StoreError('query_invalid');
  for (const name of query.keys())
    if (!known.includes(name)) throw new StoreError('query_invalid', { parameter: name, known });
  return query;
}

function oneOf<T extends string>(query: ReadonlyMap<string, string>, name: string, allowed: readonly T[]): T | null {
  const value = query.get(name);
  if (value === undefined) return null;
  const found = allowed.find((word) => word === value);
  if (found === undefined) throw new StoreError('query_invalid', { parameter: name, allowed });
  return found;
}
