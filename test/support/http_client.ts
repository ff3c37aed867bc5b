/**
 * A client that shares no code with the SDKs or the server's own reading: requests over `fetch`, Arrow read by
 * apache-arrow.
 *
 * It knows three outcomes, as the checkers do: ok (2xx), fail (certainly not applied), unknown (no answer, or 5xx but
 * 507).
 */
import { tableFromIPC } from 'apache-arrow';

export interface Answer {
  readonly outcome: 'ok' | 'fail' | 'unknown';
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

const TIMEOUT_MS = 10_000;
const ARROW = 'application/vnd.apache.arrow.stream';

export class TestClient {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async request(
    method: string,
    path: string,
    body?: Uint8Array | object,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const isBytes = body instanceof Uint8Array;
    const type: Record<string, string> =
      body === undefined ? {} : { 'content-type': isBytes ? ARROW : 'application/json' };
    try {
      const response = await fetch(this.#url + path, {
        method,
        headers: { ...type, ...headers },
        body: body === undefined ? undefined : isBytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const bytes = new Uint8Array(await response.arrayBuffer());
      const { status } = response;
      const outcome = status < 300 ? 'ok' : status < 500 || status === 507 ? 'fail' : 'unknown';
      return { outcome, status, headers: response.headers, bytes };
    } catch {
      return { outcome: 'unknown', status: 0, headers: new Headers(), bytes: new Uint8Array() };
    }
  }

  async json(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const { status, bytes } = await this.request(method, path, body);
    const text = Buffer.from(bytes).toString();
    if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }
}

/** The columns of an answer as plain values; binary columns as text. */
export function columnsOf(bytes: Uint8Array): Record<string, unknown[]> {
  const table = tableFromIPC(bytes);
  const columns: Record<string, unknown[]> = {};
  for (const field of table.schema.fields) {
    const column = table.getChild(field.name)!;
    columns[field.name] = Array.from({ length: table.numRows }, (_, row) => {
      const value: unknown = column.get(row);
      if (typeof value === 'bigint') return Number(value);
      return value instanceof Uint8Array ? Buffer.from(value).toString() : value;
    });
  }
  return columns;
}
