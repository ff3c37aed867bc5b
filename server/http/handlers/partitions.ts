/** Partitions: declare, alter, drop, seal, describe. */
import { parseLayout, type FieldLayout } from '@transfer-queue/core/layout';
import {
  AdvanceRequest,
  INDEX_COLUMN,
  PartitionRequest,
  RESERVED_PREFIX,
  type AckLevel,
} from '@transfer-queue/core/protocol';
import type { QueueChange } from '../../engine/commands.ts';
import { advance, declare, describe, drop, seal } from '../../engine/partitions.ts';
import { visiblePartitions } from '../../engine/staging.ts';
import { StoreError } from '../../errors.ts';
import { receiveJson, respondJson } from '../body.ts';
import { checkName } from './parse.ts';
import { handlersOf } from './route.ts';

export const partitionHandlers = handlersOf({
  partitions(node, exchange) {
    const partitions = visiblePartitions(node).map((partition) => describe(node, partition));
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
      queue: queueChangeOf(body),
    });
    respondJson(exchange, declared);
  },

  async drop(node, exchange, { partition }) {
    respondJson(exchange, { lsn: await drop(node, partition) });
  },

  async seal(node, exchange, { partition }) {
    respondJson(exchange, { lsn: await seal(node, partition) });
  },

  async advance(node, exchange, { partition }) {
    const { version } = await receiveJson(exchange, AdvanceRequest);
    respondJson(exchange, { lsn: await advance(node, partition, version), version });
  },
});

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

function queueChangeOf(body: PartitionRequest): QueueChange {
  const { pace, retention } = body;
  const tasks = Object.entries(body.tasks ?? {}).map(([name, { max_attempts: maxAttempts }]) => {
    checkName(name);
    return maxAttempts === undefined ? { name } : { name, maxAttempts };
  });
  return {
    tasks,
    release: body.release,
    numbers: body.numbers,
    rowsMax: body.rows_max,
    bytesMax: body.bytes_max,
    pace: pace && { rowsPerVersion: pace.rows_per_version, maxAhead: pace.max_ahead },
    retention: retention && { rowsMax: retention.rows_max, ageMsMax: retention.age_ms_max },
  };
}
