/**
 * The HTTP face of a node: finds the route, checks the token, runs the handler, and makes an answer of every error.
 *
 * It listens before the node is open, so that health and readiness can be asked during recovery.
 *
 * Invariants: a token is checked before one byte of a body is read; an error that is not a `StoreError` is logged and
 * answered as `internal` without its text; a broken invariant ends the process.
 */
import { errors, headers, limits, PROTOCOL_VERSION, routes, type RouteName } from '@transfer-queue/core/protocol';
import type { Node } from '../engine/node.ts';
import { sameBytes, sha256 } from '../env/digest.ts';
import type { Log } from '../env/env.ts';
import { errorBody, InvariantError, StoreError } from '../errors.ts';
import { headerLines, jsonHeaders, joinLines, type HeaderLines } from './answer.ts';
import { respondJson } from './body.ts';
import type { Exchange, Refusal } from './exchange.ts';
import { nodeHandlers, type NodeRoute } from './handlers/index.ts';
import { tqHeader, type RequestHead } from './head.ts';
import { matchRoute, type Match, type Parameters } from './router.ts';

export interface AppOptions {
  readonly log: Log;
  /** Empty: no token is asked for. */
  readonly token: string;
  readonly shards: number;
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  observe(route: string, status: number): void;
  /** Ends the process: an invariant is broken, and nothing that follows could be trusted. */
  crash(reason: string, cause: unknown): never;
}

const retryLines = joinLines(jsonHeaders, headerLines('Retry-After', '1'));
const challengeLines = joinLines(jsonHeaders, headerLines('WWW-Authenticate', 'Bearer'));

export const refusal: Refusal = (code, details) => ({
  status: errors[code].status,
  body: Buffer.from(errorBody(code, details)),
});

export class App {
  readonly #options: AppOptions;
  readonly #tokenHash: Buffer;
  /** Null while recovery runs. */
  node: Node | null = null;
  /** What clients are told to connect to. */
  url = '';

  constructor(options: AppOptions) {
    this.#options = options;
    this.#tokenHash = sha256(options.token);
  }

  readonly handle = (exchange: Exchange): void => {
    const match = matchRoute(exchange.head.method, exchange.head.path);
    this.#serve(exchange, match).catch((error: unknown) => this.#fail(exchange, match, error));
  };

  async #serve(exchange: Exchange, match: Match): Promise<void> {
    if (!match.ok) throw new StoreError(match.code, match.allowed.length > 0 ? { allowed: match.allowed } : {});
    if (!('open' in routes[match.name])) this.#authorize(exchange);
    checkUse(exchange.head, match.name);
    await this.#run(exchange, match);
    this.#options.observe(match.name, 200);
  }

  #run(exchange: Exchange, match: Extract<Match, { ok: true }>): void | Promise<void> {
    switch (match.name) {
      case 'health':
        return respondJson(exchange, { status: 'ok' });
      case 'ready':
        this.#openNode();
        return respondJson(exchange, { status: 'ready' });
      case 'metrics':
        return this.#metrics(exchange);
      case 'limits':
        return respondJson(exchange, limitsInForce(this.#openNode()));
      case 'cluster':
        this.#openNode();
        return respondJson(exchange, {
          epoch: 1,
          shards: this.#options.shards,
          nodes: [{ id: 'node-1', url: this.url }],
        });
      default:
        return nodeHandlers[match.name satisfies NodeRoute](this.#openNode(), exchange, match.parameters);
    }
  }

  #openNode(): Node {
    if (this.node === null) throw new StoreError('not_ready');
    if (this.node.stopping) throw new StoreError('shutting_down');
    return this.node;
  }

  async #metrics(exchange: Exchange): Promise<void> {
    const { contentType, text } = await this.#options.metrics();
    exchange.respond(200, headerLines('Content-Type', contentType), Buffer.from(text));
  }

  /** Hashes are compared, so that neither length nor content of the token shows in the time it takes. */
  #authorize(exchange: Exchange): void {
    if (this.#options.token === '') return;
    const given = /^Bearer (.+)$/.exec(exchange.head.authorization ?? '')?.[1] ?? '';
    if (!sameBytes(sha256(given), this.#tokenHash)) throw new StoreError('unauthorized');
  }

  #fail(exchange: Exchange, match: Match, error: unknown): void {
    if (error instanceof InvariantError) this.#options.crash('an invariant is broken', error);
    const known = error instanceof StoreError ? error : new StoreError('internal');
    const route = match.ok ? match.name : 'none';
    if (known.code === 'internal')
      this.#options.log.error({ err: error, route, ...placeOf(match) }, 'a request failed');
    if (known.code === 'data_corrupt') {
      this.#options.log.error({ ...known.details, route, ...placeOf(match) }, 'stored bytes are damaged');
    }
    this.#options.observe(route, known.status);
    if (exchange.closed || exchange.answered) return;
    const lines = errorLines(known.status, match.ok ? [] : match.allowed);
    exchange.respond(known.status, lines, Buffer.from(errorBody(known.code, known.details)));
  }
}

/** What a request was about, for the log. A claim's token is left out: whoever has it can end the claim. */
function placeOf(match: Match): Readonly<Record<string, string>> {
  const { claim: _token, ...place }: Parameters = match.ok ? match.parameters : {};
  return place;
}

/** Refuses what a route would pass over: whoever sent it means something that would not happen. */
function checkUse(head: RequestHead, name: RouteName): void {
  const route = routes[name];
  if (head.query !== '' && !('query' in route))
    throw new StoreError('query_invalid', { reason: 'no query is taken here' });
  if (head.contentLength > 0 && route.body === 'none') throw new StoreError('body_unexpected');
  const version = tqHeader(head, headers.protocol);
  if (version !== undefined && version !== String(PROTOCOL_VERSION)) {
    throw new StoreError('protocol_unsupported', { given: version, supported: PROTOCOL_VERSION });
  }
  const wantTail = tqHeader(head, headers.wantTail) ?? '0';
  if (wantTail !== '0' && wantTail !== '1')
    throw new StoreError('header_invalid', { header: headers.wantTail, allowed: ['0', '1'] });
}

/** What RFC 9110 asks of these statuses, and when to ask again. */
function errorLines(status: number, allowed: readonly string[]): HeaderLines {
  if (status === 401) return challengeLines;
  if (status === 405) return joinLines(jsonHeaders, headerLines('Allow', allowed.join(', ')));
  return status === 503 || status === 507 ? retryLines : jsonHeaders;
}

/** Names as on the wire: `putBodyBytesMax` is `put_body_bytes_max`. */
function limitsInForce(node: Node): Record<string, number> {
  const { putBodySizeMax, answerSizeMax } = node.parts;
  const inForce = {
    ...limits,
    putBodyBytesMax: putBodySizeMax,
    statesBytesMax: node.states.sizeMax,
    answerBytesMax: answerSizeMax,
  };
  const named = Object.entries(inForce).map(([name, value]) => [
    name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
    value,
  ]);
  return Object.fromEntries(named) as Record<string, number>;
}
