/** Watches: the changes of a partition, by long polls. */
import { defaults, ID_END, limits, WatchQuery } from '@transfer-queue/core/protocol';
import { watch } from '../../engine/watch.ts';
import { respondJson } from '../body.ts';
import { integerOf, parseQuery } from './parse.ts';
import { handlersOf } from './route.ts';

export const watchHandlers = handlersOf({
  async watch(node, exchange, { partition }) {
    const query = parseQuery(exchange, Object.keys(WatchQuery.properties));
    const command = {
      partition,
      afterLsn: integerOf(query, 'after_lsn', { max: ID_END - 1 }),
      waitMs: integerOf(query, 'wait_ms', { max: limits.waitMsMax }) ?? defaults.waitMs,
      changesMax: integerOf(query, 'changes_max', { min: 1, max: limits.watchChangesMax }) ?? limits.watchChangesMax,
    };
    respondJson(exchange, await watch(node, command, exchange));
  },
});
