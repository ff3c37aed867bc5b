/** Rows: put, read, delete, and what is known of single ones. */
import {
  ackLevels,
  defaults,
  DeleteRequest,
  headers,
  limits,
  ReadRequest,
  TAGS_COLUMN,
} from '@transfer-queue/core/protocol';
import type { Selection } from '../../engine/commands.ts';
import { held } from '../../engine/held.ts';
import { deleteRows } from '../../engine/partitions.ts';
import { checkPut, openPut, type Put } from '../../engine/put.ts';
import { read, readCell, rowStatus } from '../../engine/read.ts';
import { StoreError } from '../../errors.ts';
import { cellFormat, respondArrow, respondCell } from '../arrow_answer.ts';
import { checkArrowType, receiveJson, respondJson } from '../body.ts';
import type { Exchange } from '../exchange.ts';
import { checksumOf, integerOf, oneOf, parseId, parseQuery, requestIdOf, respondWaitEnd } from './parse.ts';
import { handlersOf } from './route.ts';
import { splitTags } from './tags.ts';

export const rowHandlers = handlersOf({
  async put(node, exchange, { partition }) {
    checkArrowType(exchange);
    const query = parseQuery(exchange, ['ack', 'if_absent', 'claim', 'wait_ms']);
    const command = {
      partition,
      length: exchange.head.contentLength,
      requestId: requestIdOf(exchange),
      ack: oneOf(query, 'ack', ackLevels),
      ifAbsent: oneOf(query, 'if_absent', ['0', '1']) === '1',
      waitMs: integerOf(query, 'wait_ms', { max: limits.waitMsMax }) ?? defaults.waitMs,
      claim: query.get('claim') ?? null,
      checksum: checksumOf(exchange),
    };
    const place = checkPut(node, command);
    const answer = place.done ?? receivePut(exchange, await openPut(node, command, place));
    respondJson(exchange, await answer);
  },

  async read(node, exchange, { partition }) {
    const body = await receiveJson(exchange, ReadRequest);
    const { fields, tagsOf } = splitTags(node, partition, body.fields ?? null);
    if (tagsOf !== null && body.lsn !== undefined) {
      throw new StoreError('json_invalid', { at: '/fields', reason: `${TAGS_COLUMN} is not kept by snapshots` });
    }
    const command = {
      partition,
      select: selectionOf(body),
      fields,
      waitMs: body.wait_ms ?? defaults.waitMs,
      lsn: body.lsn,
    };
    const outcome = await read(node, command, exchange);
    if (outcome.kind !== 'rows') return respondWaitEnd(exchange, outcome);
    const next = outcome.next === null ? [] : [headers.next, String(outcome.next)];
    await respondArrow(node, exchange, { located: outcome.located, attempts: null, tagsOf, headers: next });
  },

  async delete(node, exchange, { partition }) {
    const body = await receiveJson(exchange, DeleteRequest);
    const ids = Float64Array.from(new Set(body.ids));
    respondJson(exchange, await deleteRows(node, partition, { ids, requestId: requestIdOf(exchange) }));
  },

  async held(node, exchange, { partition, id }) {
    respondJson(exchange, await held(node, { partition, id: parseId(id) }));
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
});

/** Receives the body at its final place. */
function receivePut(exchange: Exchange, put: Put): Promise<unknown> {
  return new Promise((resolve, reject) => {
    exchange.receive({
      next: () => put.room,
      wrote: (size) => put.wrote(size),
      end: () => void put.finish(exchange).then(resolve, reject),
      abort: (reason) => void put.abort().then(() => reject(new StoreError('request_timeout', { reason })), reject),
    });
  });
}

function selectionOf({ ids, range, newest }: ReadRequest): Selection {
  const given = [ids, range, newest].filter((select) => select !== undefined).length;
  if (given !== 1) throw new StoreError('json_invalid', { reason: 'give exactly one of ids, range and newest' });
  if (ids !== undefined) return { by: 'ids', ids: Float64Array.from(ids) };
  if (newest !== undefined) return { by: 'newest', afterLsn: newest.after_lsn ?? 0 };
  return { by: 'range', start: range!.start, end: range!.end, rowsMax: range!.rows_max ?? defaults.rangeRowsMax };
}
