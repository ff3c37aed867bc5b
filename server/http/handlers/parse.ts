/** Reads what handlers are given: names, ids, headers, query parameters. Throws the refusal. */
import { headers, ID_END, NAME_PATTERN, outcomes, REQUEST_ID_PATTERN } from '@transfer-queue/core/protocol';
import { checksumFromHex } from '@transfer-queue/core/wasm';
import type { WaitEnd } from '../../engine/commands.ts';
import { StoreError } from '../../errors.ts';
import { jsonWith, respondJson } from '../body.ts';
import type { Exchange } from '../exchange.ts';
import { tqHeader } from '../head.ts';
import { decodeQuery } from '../target.ts';

export function respondWaitEnd(exchange: Exchange, end: WaitEnd): void {
  const outcome = end.kind === 'drained' ? outcomes.drained : outcomes.timedOut;
  const details = end.kind === 'drained' ? {} : end.details;
  respondJson(exchange, { outcome, ...details }, jsonWith(headers.outcome, outcome));
}

const namePattern = new RegExp(NAME_PATTERN);

export function checkName(name: string): void {
  if (!namePattern.test(name))
    throw new StoreError('name_invalid', { name: name.slice(0, 256), grammar: NAME_PATTERN });
}

export function parseId(text: string): number {
  const id = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : NaN;
  if (id < ID_END) return id;
  throw new StoreError('index_id_invalid', { id: text });
}

const requestIdPattern = new RegExp(REQUEST_ID_PATTERN);

/** Empty when the caller gave none: then a retry is a new request. */
export function requestIdOf(exchange: Exchange): string {
  const requestId = tqHeader(exchange.head, headers.requestId);
  if (requestId === undefined) return '';
  if (!requestIdPattern.test(requestId)) throw new StoreError('header_invalid', { header: headers.requestId });
  return requestId;
}

export function checksumOf(exchange: Exchange): Uint8Array | null {
  const hex = tqHeader(exchange.head, headers.checksum);
  if (hex === undefined) return null;
  const checksum = checksumFromHex(hex);
  if (checksum === null) throw new StoreError('header_invalid', { header: headers.checksum, wanted: '16 hex digits' });
  return checksum;
}

export function parseQuery(exchange: Exchange, known: readonly string[]): ReadonlyMap<string, string> {
  const query = decodeQuery(exchange.head.query);
  if (query === undefined) throw new StoreError('query_invalid');
  for (const name of query.keys())
    if (!known.includes(name)) throw new StoreError('query_invalid', { parameter: name, known });
  return query;
}

export function oneOf<T extends string>(
  query: ReadonlyMap<string, string>,
  name: string,
  allowed: readonly T[],
): T | null {
  const value = query.get(name);
  if (value === undefined) return null;
  const found = allowed.find((word) => word === value);
  if (found === undefined) throw new StoreError('query_invalid', { parameter: name, allowed });
  return found;
}

export function integerOf(
  query: ReadonlyMap<string, string>,
  name: string,
  { min = 0, max }: { readonly min?: number; readonly max: number },
): number | null {
  const value = query.get(name);
  if (value === undefined) return null;
  const number = /^(0|[1-9]\d{0,15})$/.test(value) ? Number(value) : NaN;
  if (number >= min && number <= max) return number;
  throw new StoreError('query_invalid', { parameter: name, min, max });
}
