/** Tags: change those of rows; list rows with them. */
import { defaults, ListRequest, TagRequest, TAGS_COLUMN } from '@transfer-queue/core/protocol';
import type { Node } from '../../engine/node.ts';
import { jsonTexts, listRows, tagRows, tagTexts } from '../../engine/tags.ts';
import { inSlices } from '../../env/slice.ts';
import { StoreError } from '../../errors.ts';
import type { ArrowAnswer } from '../arrow_answer.ts';
import { receiveJson, respondJson } from '../body.ts';
import { requestIdOf } from './parse.ts';
import { handlersOf } from './route.ts';

export const tagHandlers = handlersOf({
  async tag(node, exchange, { partition }) {
    const { ids, tags } = await receiveJson(exchange, TagRequest);
    if (Array.isArray(tags) && tags.length !== ids.length) {
      throw new StoreError('json_invalid', { at: '/tags', reason: `${tags.length} for ${ids.length} ids` });
    }
    const texts = await inSlices(jsonTexts(Array.isArray(tags) ? tags : [tags]), node.parts.env.clock);
    const command = { partition, ids: distinct(ids), tags: texts, requestId: requestIdOf(exchange) };
    respondJson(exchange, await tagRows(node, command));
  },

  async list(node, exchange, { partition }) {
    const { ids, where, ready, after, rows_max: rowsMax } = await receiveJson(exchange, ListRequest);
    const list = await listRows(node, {
      partition,
      ids: ids === undefined ? null : distinct(ids),
      where: where ?? null,
      ready: ready ?? null,
      from: after ?? 0,
      rowsMax: rowsMax ?? ids?.length ?? defaults.rangeRowsMax,
    });
    const numbers = Object.fromEntries(list.numberNames.map((name, number) => [name, list.numbers[number]]));
    const attempts = ready === undefined ? {} : { attempts: list.attempts };
    // NaN, where a row lacks a number, is null in JSON.
    respondJson(exchange, { ids: list.ids, tags: list.tags, numbers, ...attempts, next: list.next });
  },
});

/**
 * Takes the tags out of the fields that are asked for: they are no field, and what they say is that of the answer. They
 * are of the partition that has the name in this turn, as the rows are.
 */
export function splitTags<Names extends string[] | null>(
  node: Node,
  name: string,
  names: Names,
): { fields: Names; tagsOf: ArrowAnswer['tagsOf'] } {
  if (names === null || !names.includes(TAGS_COLUMN)) return { fields: names, tagsOf: null };
  if (names.length === 1) {
    throw new StoreError('json_invalid', { at: '/fields', reason: `${TAGS_COLUMN} alone: rows:list says the tags` });
  }
  const fields = names.filter((field) => field !== TAGS_COLUMN) as Names;
  const partition = node.partition(name);
  return { fields, tagsOf: (ids) => tagTexts(node, partition, ids) };
}

function distinct(ids: readonly number[]): Float64Array {
  const seen = new Set<number>();
  for (const id of ids) {
    if (seen.has(id)) throw new StoreError('ids_duplicate', { id });
    seen.add(id);
  }
  return Float64Array.from(ids);
}
