/**
 * A running server as the command line sees it: JSON in and out, and refusals as they are in the catalogue.
 *
 * Invariant: nothing is asked twice.
 */
import { mediaTypes } from '@transfer-queue/core/protocol';
import type { Ask } from '../env/ask.ts';

/** What an answer may take: none of them waits for anything. */
const TIMEOUT_MS = 10_000;

export interface ServerPlace {
  /** Without a slash at its end. */
  readonly url: string;
  /** Empty: none is shown. */
  readonly token: string;
}

/** The server refused: a code of the catalogue, with what it says about it. */
export class ServerRefusal extends Error {
  readonly code: string;
  readonly status: number;

  constructor(status: number, { code, message, details }: { code: string; message: string; details?: object }) {
    const more = details === undefined || Object.keys(details).length === 0 ? '' : ` ${JSON.stringify(details)}`;
    super(`${code}: ${message}${more}`);
    this.name = 'ServerRefusal';
    this.code = code;
    this.status = status;
  }
}

export class Server {
  readonly url: string;
  readonly #ask: Ask;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #ended: AbortSignal | undefined;

  /** `ended`: the user has seen enough, and no answer is waited for any longer. */
  constructor(ask: Ask, { url, token }: ServerPlace, ended?: AbortSignal) {
    this.url = url;
    this.#ask = ask;
    this.#ended = ended;
    this.#headers = token === '' ? {} : { authorization: `Bearer ${token}` };
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.#json({ method: 'GET', path });
  }

  post<Answer>(path: string, body: object): Promise<Answer> {
    return this.#json({ method: 'POST', path, body: JSON.stringify(body) });
  }

  /** An answer that is no JSON, such as that of `/metrics`. */
  async text(path: string): Promise<string> {
    const { status, body } = await this.#send({ method: 'GET', path });
    if (status !== 200) throw refusalOf(status, body);
    return body;
  }

  async #json<Answer>(request: Asked): Promise<Answer> {
    const { status, body } = await this.#send(request);
    if (status !== 200) throw refusalOf(status, body);
    try {
      return JSON.parse(body) as Answer;
    } catch {
      throw strange(status);
    }
  }

  #send({ method, path, body }: Asked): ReturnType<Ask> {
    const headers = body === undefined ? this.#headers : { ...this.#headers, 'content-type': mediaTypes.json };
    return this.#ask({ method, url: this.url + path, headers, body, timeoutMs: TIMEOUT_MS, ended: this.#ended });
  }
}

interface Asked {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

function refusalOf(status: number, body: string): ServerRefusal {
  try {
    const told = JSON.parse(body) as { code?: unknown; message?: unknown; details?: object };
    if (typeof told.code !== 'string' || typeof told.message !== 'string') return strange(status);
    return new ServerRefusal(status, { code: told.code, message: told.message, details: told.details });
  } catch {
    return strange(status);
  }
}

function strange(status: number): ServerRefusal {
  const message = 'the answer is not one of a Transfer-Queue server';
  return new ServerRefusal(status, { code: `status ${status}`, message });
}

/** `/v1/partitions/{partition}` and what follows; names are encoded. */
export function pathOf(...parts: readonly (string | number)[]): string {
  return `/v1/partitions/${parts.map((part) => encodeURIComponent(part)).join('/')}`;
}
