/** A partition at the end of a wire, and what calls about it share. */
import type { Limits } from '@transfer-queue/core/protocol';
import { toIds, type Ids } from './encode.ts';
import { clientError } from './errors.ts';
import type { Call, Wire } from './wire.ts';

export interface Target {
  readonly wire: Wire;
  readonly partition: string;
  readonly groupSize: (signal: AbortSignal | undefined) => Promise<number>;
  /** The names of the fields, asked for anew: others may have declared some. */
  readonly fields: (signal: AbortSignal | undefined) => Promise<readonly string[]>;
}

/** The members of a JSON object that came from outside. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Digits of the largest id, and a comma. */
export const ID_JSON_SIZE_MAX = 17;
/** Room in a JSON body for what is neither ids nor names. */
export const JSON_MARGIN = 1_024;

/** How many ids one call may name. */
export function idsPerCall(limits: Limits, fields: readonly string[] | undefined): number {
  const room = limits.jsonBodyBytesMax - JSON.stringify(fields ?? []).length - JSON_MARGIN;
  return Math.max(1, Math.min(limits.readRowsMax, Math.floor(room / ID_JSON_SIZE_MAX)));
}

type PartCall = Omit<Call, 'url' | 'json' | 'signal'> & { readonly signal: AbortSignal | undefined };

/** Sends `{ ids }` to the nodes of these ids, at most `rowsMax` a call; the JSON answers, in no order. */
export async function sendIds(target: Target, ids: Ids, call: PartCall & { rowsMax: number }): Promise<JsonObject[]> {
  const { wire, groupSize } = target;
  const { rowsMax, signal, ...rest } = call;
  const all = toIds(ids);
  const shares = await wire.eachShare({ ids: all, groupSize, signal }, async ({ node, positions }) => {
    const answers: JsonObject[] = [];
    for (let at = 0; at < positions.length; at += rowsMax) {
      const json = { ids: Array.from(positions.subarray(at, at + rowsMax), (position) => all[position]) };
      answers.push(await wire.sendForJson({ ...rest, url: node.url, json, signal }));
    }
    return answers;
  });
  return shares.flat();
}

/** The highest LSN of some answers; 0 of none. */
export function highestLsn(answers: readonly JsonObject[]): number {
  return Math.max(0, ...answers.map((answer) => numberIn(answer, 'lsn')));
}

/** The sum of a number over some answers. */
export function sumOf(answers: readonly JsonObject[], name: string): number {
  return answers.reduce((sum, answer) => sum + numberIn(answer, name), 0);
}

/** A number of an answer. Throws `answer_invalid` when it is none. */
export function numberIn(answer: JsonObject, name: string): number {
  const value = answer[name];
  if (typeof value === 'number') return value;
  throw clientError('answer_invalid', `The answer has no number ${name}.`);
}

/** A list of an answer. Throws `answer_invalid` when it is none. */
export function listIn<T>(answer: JsonObject, name: string): readonly T[] {
  const value = answer[name];
  if (Array.isArray(value)) return value as T[];
  throw clientError('answer_invalid', `The answer has no list ${name}.`);
}
