/** What a handler is: it reads the request, asks the engine and writes the answer; it may throw or reject. */
import type { RouteName } from '@transfer-queue/core/protocol';
import type { Node } from '../../engine/node.ts';
import type { Exchange } from '../exchange.ts';
import type { Parameters } from '../router.ts';

export type NodeHandler = (node: Node, exchange: Exchange, parameters: Parameters) => void | Promise<void>;

/** The routes that need a node; the others are answered by app.ts. */
export type NodeRoute = Exclude<RouteName, 'health' | 'ready' | 'metrics' | 'limits' | 'cluster'>;

type Handlers<Names extends NodeRoute> = { readonly [Name in Names]: NodeHandler };

/** Handlers of some routes. */
export function handlersOf<Names extends NodeRoute>(handlers: Handlers<Names>): Handlers<Names> {
  return handlers;
}
