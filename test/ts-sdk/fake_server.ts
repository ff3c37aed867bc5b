/**
 * A server for tests of the client: HTTP, checksums, idempotence, and faults by script.
 *
 *   request -> the next fault planned for its route, if any -> the answer known for its request id -> fake_store.ts
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadCore } from '@transfer-queue/core/wasm';
import { errors, routes, type ErrorCode, type RouteName } from '@transfer-queue/core/protocol';
import { FakeStore, Refusal, jsonAnswer, refusal, type ActCall, type FakeAnswer } from './fake_store.ts';

/** What happens to one request instead of its answer. */
export type Fault =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly code?: string;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** The connection breaks before the answer. `acts` says whether the request was carried out. */
  | { readonly kind: 'break'; readonly acts: boolean }
  /** Half of the answer, then the connection breaks. */
  | { readonly kind: 'half' }
  /** No answer at all. */
  | { readonly kind: 'silence' }
  /** A bit of the answer's body flips. */
  | { readonly kind: 'flip' };

export interface Seen {
  readonly route: RouteName;
  readonly path: string;
  readonly requestId: string;
  readonly headers: IncomingMessage['headers'];
  readonly size: number;
}

const core = loadCore();
const TAIL_SIZE = 16;

export class FakeServer extends FakeStore {
  readonly seen: Seen[] = [];
  url = '';
  readonly #server: Server;
  readonly #answers = new Map<string, Promise<FakeAnswer>>();
  readonly #faults: { route: RouteName; fault: Fault }[] = [];

  constructor() {
    super();
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(): Promise<FakeServer> {
    const fake = new FakeServer();
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    fake.url = `http://127.0.0.1:${(fake.#server.address() as AddressInfo).port}`;
    fake.nodes = [{ id: 'n1', url: 'http://unreachable.invalid:1' }];
    return fake;
  }

  /** The next requests of this route meet these faults, in this order. */
  fail(route: RouteName, ...faults: Fault[]): void {
    for (const fault of faults) this.#faults.push({ route, fault });
  }

  count(route: RouteName): number {
    return this.seen.filter((seen) => seen.route === route).length;
  }

  get connections(): Promise<number> {
    return new Promise((resolve) => this.#server.getConnections((_, count) => resolve(count)));
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    this.wake();
    await once(this.#server, 'close').catch(() => undefined);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
    const found = routeOf(request.method ?? '', pathname);
    const body = await bodyOf(request).catch(() => undefined);
    if (body === undefined) return;
    const requestId = String(request.headers['tq-request-id']);
    if (found === undefined) return send(response, refusal('route_unknown'));
    const { route, names } = found;
    this.seen.push({ route, path: request.url ?? '', requestId, headers: request.headers, size: body.length });
    const at = this.#faults.findIndex((planned) => planned.route === route);
    const fault = at < 0 ? undefined : this.#faults.splice(at, 1)[0].fault;
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'break' && !fault.acts) return void request.socket.destroy();
    if (fault?.kind === 'answer') return send(response, faultAnswer(fault));
    const known = this.#answers.get(requestId);
    const gone = new Promise((resolve) => response.once('close', resolve));
    const doing = known ?? this.#do(route, { names, query: searchParams, body, gone });
    if (isChange(route)) this.#answers.set(requestId, doing);
    const answer = await doing.catch((error: unknown) => {
      this.#answers.delete(requestId);
      if (error instanceof Refusal) return refusal(error.code, error.details);
      return refusal('internal', { error: String(error) });
    });
    if (fault?.kind === 'break') return void request.socket.destroy();
    const tailed = withTail(answer, request.headers['tq-want-tail'] === '1');
    if (fault?.kind === 'half') {
      response.writeHead(tailed.status, { ...tailed.headers, 'content-length': tailed.body.length });
      response.write(tailed.body.subarray(0, tailed.body.length / 2), () => request.socket.destroy());
      return;
    }
    if (fault?.kind === 'flip') tailed.body[tailed.body.length >> 1] ^= 1;
    send(response, tailed);
  }

  async #do(route: RouteName, call: ActCall): Promise<FakeAnswer> {
    return this.act(route, route === 'put' ? { ...call, body: withoutTail(call.body) } : call);
  }
}

function routeOf(method: string, path: string): { route: RouteName; names: Record<string, string> } | undefined {
  for (const [route, entry] of Object.entries(routes)) {
    const pattern = entry.path.replace(/\{(\w+)\}/g, '(?<$1>[^/:]+)');
    const match = new RegExp(`^${pattern}$`).exec(path);
    if (entry.method !== method || match === null) continue;
    const names = Object.fromEntries(Object.entries(match.groups ?? {}).map(([k, v]) => [k, decodeURIComponent(v)]));
    return { route: route as RouteName, names };
  }
  return undefined;
}

const isChange = (route: RouteName): boolean =>
  !['limits', 'cluster', 'partitions', 'partition', 'read'].includes(route);

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new Uint8Array(Buffer.concat(chunks));
}

function withoutTail(body: Uint8Array): Uint8Array {
  const stream = body.subarray(0, body.length - TAIL_SIZE);
  const hasher = core.bodyHasher();
  hasher.update(stream);
  const isTail = Buffer.from(body.subarray(stream.length, stream.length + 8)).toString() === 'TQXXH64\n';
  if (!isTail) throw new Refusal('arrow_malformed', { reason: 'no tail' });
  if (Buffer.compare(hasher.finish(), body.subarray(stream.length + 8)) !== 0) throw new Refusal('checksum_mismatch');
  return stream;
}

function withTail(answer: FakeAnswer, wanted: boolean): FakeAnswer {
  if (!wanted || !answer.headers['content-type'].includes('arrow')) return answer;
  const hasher = core.bodyHasher();
  hasher.update(answer.body);
  const body = new Uint8Array(Buffer.concat([answer.body, Buffer.from('TQXXH64\n'), hasher.finish()]));
  return { status: answer.status, headers: { ...answer.headers, 'tq-tail': 'xxh64' }, body };
}

function send(response: ServerResponse, answer: FakeAnswer): void {
  response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.body.length });
  response.end(answer.body);
}

function faultAnswer({ status, code, headers, body }: Extract<Fault, { kind: 'answer' }>): FakeAnswer {
  if (body !== undefined)
    return { status, headers: { 'content-type': 'text/html', ...headers }, body: new TextEncoder().encode(body) };
  const known = errors[code as ErrorCode] as { kind: string; message: string } | undefined;
  return jsonAnswer({ code, kind: known?.kind, message: known?.message, details: {} }, status, headers);
}
