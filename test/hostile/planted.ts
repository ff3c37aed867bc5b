/**
 * Bugs to be found: loaded into a real server before its own modules by `NODE_OPTIONS=--import`, one chosen by
 * TQ_PLANT.
 *
 * A suite that finds none of these in a server that has them would find nothing in one that has them by mistake.
 */
import crypto from 'node:crypto';
import { openSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { limits, routes } from '@transfer-queue/core/protocol';
import { declare } from '../../server/engine/partitions.ts';
import { StoreError } from '../../server/errors.ts';
import { jsonHeaders } from '../../server/http/answer.ts';
import { nodeHandlers, type NodeHandler, type NodeRoute } from '../../server/http/handlers/index.ts';
import { httpLimits } from '../../server/http/limits.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Runs in place of the handler, which it is given. */
type Bug = (handler: NodeHandler, ...request: Parameters<NodeHandler>) => void | Promise<void>;

function replace(name: NodeRoute, bug: Bug): void {
  const handlers = nodeHandlers as Mutable<typeof nodeHandlers>;
  const handler = handlers[name];
  handlers[name] = (...request) => bug(handler, ...request);
}

/** What a route does when it refuses a request. */
function onRefusal(
  name: NodeRoute,
  bug: (error: StoreError, ...request: Parameters<NodeHandler>) => void | Promise<void>,
): void {
  replace(name, async (handler, ...request) => {
    try {
      await handler(...request);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await bug(error, ...request);
    }
  });
}

const kept: Uint8Array[] = [];
const KEPT_SIZE = 1 << 18;

const bugs = {
  fails_at_unknown_field: () =>
    onRefusal('put', (error) => {
      throw error.code === 'field_unknown' ? new TypeError('field is undefined') : error;
    }),
  stores_on_refusal: () =>
    onRefusal('put', async (error, node) => {
      await declare(node, { name: 'half_a_put', fields: null, open: null, groupSize: null, ack: null, queue: {} });
      throw error;
    }),
  keeps_refused_bodies: () =>
    onRefusal('put', (error) => {
      kept.push(new Uint8Array(KEPT_SIZE).fill(1));
      throw error;
    }),
  says_yes_to_bad_streams: () =>
    onRefusal('put', (error, _node, exchange) => {
      if (error.code !== 'arrow_malformed') throw error;
      exchange.respond(200, jsonHeaders, Buffer.from('{"lsn":1,"rows":0,"ack":"os"}'));
    }),
  makes_up_codes: () =>
    onRefusal('read', (_error, _node, exchange) => {
      exchange.respond(400, jsonHeaders, Buffer.from('{"code":"oops","kind":"fix_request","message":"","details":{}}'));
    }),
  opens_names: () =>
    replace('partition', (handler, node, exchange, parameters) => {
      open(`${tmpdir()}/${parameters.partition}`);
      return handler(node, exchange, parameters);
    }),
  opens_fields: () =>
    replace('cell', (handler, node, exchange, parameters) => {
      open(`/etc/${parameters.field}`);
      return handler(node, exchange, parameters);
    }),
  opens_claims: () =>
    replace('ack', (handler, node, exchange, parameters) => {
      open(`${process.cwd()}/${parameters.claim}`);
      return handler(node, exchange, parameters);
    }),
  takes_a_row_too_many: () => set(limits, 'putRowsMax', limits.putRowsMax + 1),
  takes_a_row_too_few: () => set(limits, 'putRowsMax', limits.putRowsMax - 1),
  takes_a_field_too_many: () => set(httpLimits, 'headFieldsMax', httpLimits.headFieldsMax + 1),
  opens_metrics: () => set(routes.metrics, 'open', true),
  opens_puts: () => set(routes.put, 'open', true),
  compares_lengths: () => {
    crypto.timingSafeEqual = (a, b) => a.byteLength === b.byteLength;
    syncBuiltinESMExports();
  },
  logs_the_token: () => void process.stderr.write(`token ${process.env.TQ_TOKEN}\n`),
} as const;

export type PlantedBug = keyof typeof bugs;

function open(path: string): void {
  try {
    openSync(path, 'r');
  } catch {
    // That it was tried is the bug.
  }
}

function set(target: object, key: string, value: unknown): void {
  Object.assign(target, { [key]: value });
}

/** Environment of a server that has the bug. */
export function withBug(bug: PlantedBug): Record<string, string> {
  return { TQ_PLANT: bug, NODE_OPTIONS: `--import=${import.meta.url}` };
}

const chosen = process.env.TQ_PLANT;
if (chosen !== undefined) bugs[chosen as PlantedBug]();
