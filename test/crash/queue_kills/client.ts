/**
 * What producers and consumers share: they write their history before they send and after they were answered, and ask
 * again with the same request id until they know what became of a request. They load no code of the server or the SDK.
 */
import { createHash } from 'node:crypto';
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { encodeBatch, type EncodedColumn } from '@transfer-queue/core/arrow';
import type { Invoke, Line, Return } from '../../queue_checker/history.ts';
import { TestClient, type Answer } from '../../support/http_client.ts';
import { PARTITION } from './plan.ts';

const RETRY_MS = 40;

/** Files by which the driver speaks to the processes. */
export const URL_FILE = 'url';
export const STOP_FILE = 'stop';
export const nowAt = (): number => Math.floor(Number(process.hrtime.bigint()) / 1_000);
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
export const digestOf = (value: string): string => createHash('sha256').update(value).digest('hex').slice(0, 16);

/** One write per line: a kill leaves whole lines, but for the last one. */
export class Recorder {
  readonly #file: number;
  readonly #process: string;
  #calls = 0;

  constructor(directory: string, name: string) {
    this.#process = name;
    this.#file = openSync(join(directory, `${name}.jsonl`), 'a');
  }

  write(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  invoke(invoke: Omit<Invoke, 'at' | 'process' | 'call'>): (answer: Omit<Return, 'at' | 'process' | 'call'>) => void {
    const id = { process: this.#process, call: ++this.#calls };
    this.write({ at: nowAt(), ...id, ...invoke });
    return (answer) => this.write({ at: nowAt(), ...id, ...answer });
  }
}

type Told = Omit<Invoke, 'at' | 'process' | 'call'>;
/** What an answer says beyond its outcome. */
type Reading = (answer: Answer) => Partial<Return>;

export class QueueClient {
  readonly recorder: Recorder;
  readonly #directory: string;
  readonly #name: string;
  #requests = 0;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    this.recorder = new Recorder(directory, name);
  }

  get isStopping(): boolean {
    return existsSync(join(this.#directory, STOP_FILE));
  }

  /** The version that the partition shows. */
  async version(): Promise<number> {
    for (;;) {
      const answer = await this.#client().request('GET', `/v1/partitions/${PARTITION}`);
      if (answer.outcome === 'ok') return (JSON.parse(textOf(answer)) as { version: number }).version;
      await pause(RETRY_MS);
    }
  }

  nextRequest(): string {
    return `${this.#name.replaceAll('.', '-')}-${++this.#requests}`;
  }

  /** Each server that is started has another port. */
  #client(): TestClient {
    return new TestClient(readFileSync(join(this.#directory, URL_FILE), 'utf8'));
  }

  /** Asks until the outcome is known. Each try is a call of its own. */
  async ask(
    told: Told,
    request: { method: string; path: string; body?: Uint8Array | object },
    reading: Reading = () => ({}),
  ): Promise<{ answer: Answer; read: Partial<Return> }> {
    const headers: Record<string, string> = told.request === undefined ? {} : { 'tq-request-id': told.request };
    for (;;) {
      const returned = this.recorder.invoke(told);
      const answer = await this.#client().request(request.method, request.path, request.body, headers);
      const read = answer.outcome === 'ok' ? reading(answer) : { code: codeOf(answer) };
      returned({ outcome: answer.outcome, ...read });
      if (answer.outcome !== 'unknown') return { answer, read };
      await pause(RETRY_MS);
    }
  }
}

function textOf({ bytes }: Answer): string {
  return Buffer.from(bytes).toString();
}

function codeOf(answer: Answer): string | undefined {
  if (answer.outcome === 'ok' || answer.bytes.length === 0) return undefined;
  return (JSON.parse(textOf(answer)) as { code: string }).code;
}

/** A put body: columns of bytes, and of tags where there are any. */
export function putBody(
  ids: readonly number[],
  columns: Readonly<Record<string, readonly string[]>>,
  tags?: readonly object[],
): Uint8Array {
  const encoded = Object.entries(columns).map(([name, values]) => columnOf(name, 'bytes', values));
  if (tags !== undefined) {
    const texts = tags.map((one) => JSON.stringify(one));
    encoded.push(columnOf('tq_tags', 'text', texts));
  }
  return new Uint8Array(Buffer.concat(encodeBatch(Float64Array.from(ids), encoded)));
}

function columnOf(name: string, layout: 'bytes' | 'text', values: readonly string[]): EncodedColumn {
  const bytes = values.map((value) => Buffer.from(value));
  const offsets = new Int32Array(values.length + 1);
  for (const [place, value] of bytes.entries()) offsets[place + 1] = offsets[place] + value.length;
  return { name, layout: { layout }, offsets, values: Buffer.concat(bytes) };
}
