/** Loads: begin one, take the states of partitions, make them visible, end it. */
import { CommitLoadRequest, LoadRequest } from '@transfer-queue/core/protocol';
import { StoreError } from '../../errors.ts';
import { checkRawType, receiveBytes, receiveJson, respondJson } from '../body.ts';
import { checkName } from './parse.ts';
import { handlersOf } from './route.ts';

export const loadHandlers = handlersOf({
  async openLoad(node, exchange) {
    const { lease_ms: leaseMs } = await receiveJson(exchange, LoadRequest);
    respondJson(exchange, node.loads.open(leaseMs));
  },

  async renewLoad(node, exchange, { load }) {
    const { lease_ms: leaseMs } = await receiveJson(exchange, LoadRequest);
    respondJson(exchange, node.loads.renew(load, leaseMs));
  },

  async stage(node, exchange, { load, partition }) {
    checkName(partition);
    checkRawType(exchange);
    const limit = node.parts.putBodySizeMax;
    const size = exchange.head.contentLength;
    if (size === 0) throw new StoreError('length_required');
    if (size > limit) throw new StoreError('body_too_large', { bytes: size, limit });
    const state = { size, receive: () => receiveBytes(exchange) };
    respondJson(exchange, { staging: await node.loads.stage(load, partition, state) });
  },

  async commitLoad(node, exchange, { load }) {
    const { replace = false } = await receiveJson(exchange, CommitLoadRequest);
    respondJson(exchange, await node.loads.commit(load, { replace }));
  },

  async closeLoad(node, exchange, { load }) {
    await node.loads.close(load);
    respondJson(exchange, { load });
  },
});
