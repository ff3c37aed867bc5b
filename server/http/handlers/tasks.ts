/** Tasks: leases, dead letters, and to begin anew. */
import { DeadLettersQuery, defaults, ID_END, limits, RequeueRequest } from '@transfer-queue/core/protocol';
import { listDeadLetters, listLeases, requeue, resetTask } from '../../engine/tasks.ts';
import { receiveJson, respondJson } from '../body.ts';
import { integerOf, parseQuery, requestIdOf } from './parse.ts';
import { handlersOf } from './route.ts';

export const taskHandlers = handlersOf({
  async leases(node, exchange, { partition }) {
    respondJson(exchange, { leases: await listLeases(node, partition) });
  },

  async deadLetters(node, exchange, { partition, task }) {
    const query = parseQuery(exchange, Object.keys(DeadLettersQuery.properties));
    const from = integerOf(query, 'after', { max: ID_END - 1 }) ?? 0;
    const rowsMax = integerOf(query, 'rows_max', { min: 1, max: limits.listRowsMax }) ?? defaults.rangeRowsMax;
    const { ids, attempts, next } = await listDeadLetters(node, { partition, task }, { from, rowsMax });
    respondJson(exchange, { rows: ids.map((id, i) => ({ id, attempts: attempts[i] })), next });
  },

  async requeue(node, exchange, { partition, task }) {
    const { ids } = await receiveJson(exchange, RequeueRequest);
    const distinct = ids === undefined ? null : Float64Array.from(new Set(ids));
    respondJson(exchange, await requeue(node, { partition, task }, distinct));
  },

  async reset(node, exchange, { partition, task }) {
    respondJson(exchange, await resetTask(node, { partition, task }, requestIdOf(exchange)));
  },
});
