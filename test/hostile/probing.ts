/** What the probes of limits have in common: partitions of their own, requests, and what became of these. */
import type { ErrorCode } from '@transfer-queue/core/protocol';
import { scalars, streamOf } from './bodies.ts';
import { askOnce, type Answer, type Request } from './client.ts';
import { jsonRequest, putRequest, succeed } from './world.ts';

export interface Probe {
  /** What comes beyond the limit. */
  readonly beyond: ErrorCode | 'forgotten';
  /** The smallest change of `n` that the thing measured can make; 1 unless given. */
  readonly step?: number;
  /** The limit is the smallest value, not the largest. */
  readonly isMin?: true;
  /** `ok`, or the code of the refusal. */
  readonly attempt: (url: string, n: number) => Promise<string>;
}

let fresh = 0;
/** A name that no probe used before. */
export const freshName = (): string => `p${fresh++}`;

export function outcomeOf(answer: Answer | null): string {
  if (answer === null) return 'no answer';
  if (answer.status === 200) return 'ok';
  return (JSON.parse(answer.body.toString()) as { code: string }).code;
}

export const ask = async (url: string, request: Request): Promise<string> => outcomeOf(await askOnce(url, request));

/** Puts a stream into a new open partition. */
export async function put(url: string, stream: Uint8Array): Promise<string> {
  const name = freshName();
  await succeed(url, jsonRequest('PUT', `/v1/partitions/${name}`, {}));
  const outcome = await ask(url, putRequest(name, stream));
  await succeed(url, { method: 'DELETE', target: `/v1/partitions/${name}` });
  return outcome;
}

/** A new partition with rows 0 and 1. */
export async function withRows(url: string, settings: object = {}): Promise<string> {
  const name = freshName();
  await succeed(url, jsonRequest('PUT', `/v1/partitions/${name}`, settings));
  await succeed(url, putRequest(name, streamOf([0, 1], [scalars('a', 2)])));
  return name;
}

export async function post(url: string, route: string, body: object): Promise<string> {
  return ask(url, jsonRequest('POST', `/v1/partitions/${await withRows(url)}/${route}`, body));
}

export const claim = (more: object): object => ({ task: 't', fields: ['a'], rows_max: 1, ...more });
export const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
/** Rows that are not there are no matter of limits. */
export const orMissing = (outcome: string): string => (outcome === 'rows_missing' ? 'ok' : outcome);
