/**
 * Calls to the routes of the protocol: headers, deadline, retries, typed errors, limits and the shard map.
 *
 *   Partition, Client > Wire > withRetries > Transport > undici
 *
 * Invariants: every call has a deadline, the wait that it asks for added; all attempts of a call carry one request
 * id; an answer that is not 200 is thrown as its typed error.
 */
import {
  PROTOCOL_VERSION,
  headers as headerNames,
  limits as publishedLimits,
  mediaTypes,
  routes,
  type Limits,
  type RouteName,
} from '@transfer-queue/core/protocol';
import { BlobCache } from './blob_cache.ts';
import { plainBody, type RequestBody } from './body.ts';
import { TransferQueueError, answerError, clientError } from './errors.ts';
import { camelKeys } from './names.ts';
import { withRetries, type RetryPolicy, type Runtime } from './retry.ts';
import { Shared } from './shared.ts';
import { parseShardMap, type Node, type ShardMap, type Share } from './shards.ts';
import { Transport, type Answer } from './transport.ts';

export interface WireSettings {
  readonly url: string;
  readonly token: string | undefined;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly connectionsMax: number;
  readonly checksums: boolean;
  readonly retry: RetryPolicy;
  readonly blobCacheBytesMax: number;
}

export interface Call {
  /** The node. Absent: the one that the caller connected to. */
  readonly url?: string;
  readonly route: RouteName;
  /** What stands in the braces of the route's path. */
  readonly names?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  /** A JSON body. */
  readonly json?: unknown;
  /** A body of bytes, taken as they are. */
  readonly raw?: Uint8Array;
  /** An Arrow body. */
  readonly body?: RequestBody;
  /** How long the server may hold the call; the deadline moves by as much. */
  readonly waitMs?: number;
  /** Another time than that of the client. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Rows to route: ids, and the group size of their partition, which only a map of several nodes needs. */
export interface Routed {
  readonly ids: readonly number[];
  readonly groupSize: (signal: AbortSignal | undefined) => Promise<number>;
  readonly signal: AbortSignal | undefined;
  readonly lastUrl?: string;
}

/** A lease, as far as the client has to know of it. */
export interface Held {
  lose(reason: Error): void;
}

export class Wire {
  readonly settings: WireSettings;
  readonly runtime: Runtime;
  /** The leases that renew themselves. */
  readonly leases = new Set<Held>();
  readonly blobs: BlobCache;
  readonly #transport: Transport;
  readonly #limits = new Shared(() => this.fetchLimits());
  readonly #shards = new Shared(() => this.#fetchShards());

  constructor(settings: WireSettings, runtime: Runtime) {
    this.settings = settings;
    this.runtime = runtime;
    this.blobs = new BlobCache(settings.blobCacheBytesMax);
    const { connectionsMax, connectTimeoutMs } = settings;
    this.#transport = new Transport({
      connectionsMax,
      connectTimeoutMs,
      answerBytesMax: 2 * publishedLimits.answerBytesMax,
    });
  }

  /** Sends a call and returns its 200 answer. */
  async send(call: Call): Promise<Answer> {
    const { settings, runtime } = this;
    const { method, path } = routes[call.route];
    const plain = call.json === undefined ? call.raw : utf8.encode(JSON.stringify(call.json));
    const body = plain === undefined ? call.body : plainBody(plain);
    const exchange = {
      url: call.url ?? settings.url,
      method,
      path: fillPath(path, call),
      headers: this.#headers(call),
      body,
      signal: call.signal,
    };
    const deadlineMs = runtime.nowMs() + (call.timeoutMs ?? settings.timeoutMs) + (call.waitMs ?? 0);
    return withRetries({ policy: settings.retry, runtime, deadlineMs, signal: call.signal }, async (leftMs) => {
      const answer = await this.#transport.exchange({ ...exchange, timeoutMs: leftMs });
      if (answer.status !== 200) throw answerError(answer);
      return answer;
    });
  }

  /** Sends a call whose answer is a JSON object. */
  async sendForJson(call: Call): Promise<Readonly<Record<string, unknown>>> {
    return answerJson(await this.send(call));
  }

  /** Does `work` with the nodes, and once more with those of a fresh map when one of them says `wrong_node`. */
  async onNodes<T>(signal: AbortSignal | undefined, work: (nodes: readonly Node[]) => Promise<T>): Promise<T> {
    try {
      return await work((await this.shards(signal)).nodes);
    } catch (error) {
      if (!isWrongNode(error)) throw error;
      this.#shards.forget();
      return work((await this.shards(signal)).nodes);
    }
  }

  /** Sends a call about a whole partition to every node. */
  sendToAll(call: Call): Promise<Readonly<Record<string, unknown>>[]> {
    return this.onNodes(call.signal, (nodes) =>
      Promise.all(nodes.map(({ url }) => this.sendForJson({ ...call, url }))),
    );
  }

  /** The limits of the server, asked for once. */
  limits(signal: AbortSignal | undefined): Promise<Limits> {
    return this.#limits.get(signal);
  }

  async fetchLimits(signal?: AbortSignal): Promise<Limits> {
    const known = camelKeys(await this.sendForJson({ route: 'limits', signal })) as Partial<Limits>;
    return { ...publishedLimits, ...known };
  }

  /** The shard map, asked for once, and again when a node says `wrong_node`. */
  shards(signal: AbortSignal | undefined): Promise<ShardMap> {
    return this.#shards.get(signal);
  }

  async #fetchShards(): Promise<ShardMap> {
    return parseShardMap(await this.sendForJson({ route: 'cluster' }), this.settings.url);
  }

  /**
   * Does `work` for each node's share of the ids, all at once; the share of the node at `lastUrl`, if any, when the
   * others are done. A share whose node says `wrong_node` is split anew by a fresh map, once. Results come in no
   * order; their shares tell which positions they are for.
   */
  async eachShare<T>({ ids, groupSize, signal, lastUrl }: Routed, work: (share: Share) => Promise<T>): Promise<T[]> {
    const split = async (positions?: Uint32Array): Promise<Share[]> => {
      const map = await this.shards(signal);
      const own = positions === undefined ? ids : Array.from(positions, (at) => ids[at]);
      const shares = map.split(own, map.isSingle ? 1 : await groupSize(signal));
      if (positions === undefined) return shares;
      return shares.map(({ node, positions: among }) => ({ node, positions: among.map((at) => positions[at]) }));
    };
    const once = async (share: Share): Promise<T[]> => {
      try {
        return [await work(share)];
      } catch (error) {
        if (!isWrongNode(error)) throw error;
        this.#shards.forget();
        return Promise.all((await split(share.positions)).map(work));
      }
    };
    const shares = await split();
    const first = await Promise.all(shares.filter(({ node }) => node.url !== lastUrl).map(once));
    const last = await Promise.all(shares.filter(({ node }) => node.url === lastUrl).map(once));
    return [...first, ...last].flat();
  }

  /** Ends what is under way with `client_closed`. Claims that are held are renewed no more: their leases run out. */
  async close(): Promise<void> {
    for (const lease of [...this.leases]) lease.lose(clientError('client_closed'));
    await this.#transport.close();
  }

  #headers(call: Call): Record<string, string> {
    const { token, checksums } = this.settings;
    const headers: Record<string, string> = {
      [headerNames.protocol]: String(PROTOCOL_VERSION),
      [headerNames.requestId]: crypto.randomUUID(),
    };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (call.body !== undefined) headers['content-type'] = mediaTypes.arrow;
    if (call.json !== undefined) headers['content-type'] = mediaTypes.json;
    if (call.raw !== undefined) headers['content-type'] = mediaTypes.raw;
    if (checksums) headers[headerNames.wantTail] = '1';
    return headers;
  }
}

const utf8 = new TextEncoder();

function isWrongNode(error: unknown): boolean {
  return error instanceof TransferQueueError && error.code === 'wrong_node';
}

function fillPath(path: string, { names = {}, query }: Call): string {
  let filled = path;
  for (const name of Object.keys(names)) filled = filled.replace(`{${name}}`, encodeURIComponent(names[name]));
  const search = query === undefined ? '' : new URLSearchParams(query).toString();
  return search === '' ? filled : `${filled}?${search}`;
}

/** The JSON object of an answer. Throws `answer_invalid` when it is not one. */
export function answerJson(answer: Answer): Readonly<Record<string, unknown>> {
  try {
    const json = JSON.parse(new TextDecoder().decode(answer.bytes)) as unknown;
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  } catch {
    // What is not JSON is refused below, like JSON that is not an object.
  }
  throw clientError('answer_invalid', 'The answer is not a JSON object.');
}

/** The LSN of an answer with rows. */
export function lsnOf(answer: Answer): number {
  return Number(answer.headers[headerNames.lsn] ?? 0);
}
