/**
 * The driver of the kill test: starts the server, the producers and the consumers, kills -9 one after the other by
 * chance and starts it again, lets all end, reads everything back, and hands on what all of them wrote down.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinLines, parseLines, type History } from '../../queue_checker/history.ts';
import { columnsOf, TestClient } from '../../support/http_client.ts';
import { startServer, temporaryDirectory, type ServerProcess, type StartOptions } from '../../support/process.ts';
import { seededRandom } from '../../support/sim/random.ts';
import { digestOf, nowAt, pause, Recorder, STOP_FILE, URL_FILE } from './client.ts';
import { GROUP_SIZE, PARTITION, processes, tasks, type Process } from './plan.ts';

export interface KillOptions {
  readonly seed: number;
  readonly runMs: number;
  /** A bug to plant into the server. */
  readonly preload?: StartOptions['preload'];
}

const DRAIN_MS_MAX = 60_000;
const PAGE_ROWS = 1_000;
const RESTART_MS = 50;
const KILLS_MIN = 3;
const TRAINED_MIN = 200;

class Driver {
  readonly #work = temporaryDirectory('queue-kills');
  readonly #options: KillOptions;
  readonly #random: () => number;
  readonly #recorder: Recorder;
  readonly #children = new Map<string, ChildProcess>();
  readonly #lives = new Map<string, number>();
  readonly #failures: string[] = [];
  #server!: ServerProcess;

  constructor(options: KillOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#recorder = new Recorder(this.#work.path, 'driver');
  }

  async run(): Promise<{ history: History; failures: readonly string[] }> {
    try {
      await this.#startServer();
      await this.#declare();
      for (const one of processes) this.#start(one);
      await this.#killAtRandom();
      writeFileSync(join(this.#work.path, STOP_FILE), '');
      await this.#ended('producer');
      await this.#json('POST', `/v1/partitions/${PARTITION}:seal`);
      await this.#ended('');
      if (this.#failures.length === 0) await this.#readAll();
      return { history: this.#history(), failures: this.#failures };
    } finally {
      for (const child of this.#children.values()) child.kill('SIGKILL');
      this.#server.signal('SIGKILL');
      await this.#server.exited;
      this.#work.remove();
    }
  }

  async #startServer(): Promise<void> {
    const { preload } = this.#options;
    const directory = join(this.#work.path, 'data');
    this.#server = await startServer({ directory, preload, arguments: ['--sync-interval-ms', '200'] });
    const path = join(this.#work.path, URL_FILE);
    writeFileSync(`${path}.new`, this.#server.url);
    renameSync(`${path}.new`, path);
  }

  async #declare(): Promise<void> {
    const declared = this.#recorder.invoke({ does: 'declare', tasks });
    const layout = { layout: 'bytes' };
    const fields = { tokens: layout, logprob: layout, ref: layout, reward: layout };
    const settings = {
      fields,
      group_size: GROUP_SIZE,
      numbers: ['version'],
      tasks: { reference: {}, reward: {}, train: {} },
    };
    await this.#json('PUT', `/v1/partitions/${PARTITION}`, settings);
    declared({ outcome: 'ok' });
  }

  #start(one: Process): void {
    const name = one.kind === 'producer' ? `producer-${one.number}` : `${one.task}-${one.number}`;
    const life = this.#lives.get(name) ?? 0;
    this.#lives.set(name, life + 1);
    const words = one.kind === 'producer' ? [one.number] : [one.task, one.number];
    const script = join(import.meta.dirname, `${one.kind}.ts`);
    const child = spawn(process.execPath, [script, this.#work.path, ...words.map(String), String(life)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr.on('data', (bytes: Buffer) => (log += bytes.toString()));
    this.#children.set(name, child);
    child.once('exit', (code, signal) => {
      this.#children.delete(name);
      if (code === 0) return;
      if (signal === null) this.#failures.push(`${name} ended with ${code}: ${log}`);
      else setTimeout(() => this.#start(one), RESTART_MS);
    });
  }

  /**
   * Begins once rows have gone all the way, so that there is something to lose; the first three kills are one of each
   * kind. On a slow machine it takes longer than it was given.
   */
  async #killAtRandom(): Promise<void> {
    while ((await this.#trained()) === 0) await pause(RESTART_MS);
    const startMs = performance.now();
    const isOver = async (): Promise<boolean> =>
      this.#failures.length > 0 ||
      (performance.now() - startMs >= this.#options.runMs && (await this.#trained()) >= TRAINED_MIN);
    for (let kills = 0; kills < KILLS_MIN || !(await isOver()); kills++) {
      const kinds = ['consumer', 'server', 'producer', 'consumer', 'consumer', 'producer'] as const;
      const kind = kinds[kills < KILLS_MIN ? kills : Math.floor(this.#random() * kinds.length)];
      if (kind === 'server') await this.#killServer();
      else this.#kill(kind);
      await pause(200 + this.#random() * 600);
    }
  }

  /** Rows that went through all tasks, or were too old for the last. */
  async #trained(): Promise<number> {
    if (this.#failures.length > 0) throw new Error(this.#failures.join('\n'));
    const { tasks: seen } = (await this.#json('GET', `/v1/partitions/${PARTITION}`)) as {
      tasks: Record<string, { consumed: number }>;
    };
    return seen.train.consumed;
  }

  async #killServer(): Promise<void> {
    this.#recorder.write({ at: nowAt(), process: 'driver', note: 'kill', of: 'server' });
    this.#server.signal('SIGKILL');
    await this.#server.exited;
    await this.#startServer();
  }

  #kill(kind: 'producer' | 'consumer'): void {
    const names = [...this.#children.keys()].filter((name) => name.startsWith('producer') === (kind === 'producer'));
    const name = names[Math.floor(this.#random() * names.length)];
    if (name === undefined) return;
    this.#recorder.write({ at: nowAt(), process: 'driver', note: 'kill', of: kind });
    this.#children.get(name)!.kill('SIGKILL');
  }

  async #ended(kind: string): Promise<void> {
    const endMs = performance.now() + DRAIN_MS_MAX;
    // A process that was killed last is about to be started again.
    await pause(4 * RESTART_MS);
    while ([...this.#children.keys()].some((name) => name.startsWith(kind))) {
      if (performance.now() > endMs) this.#failures.push(`${[...this.#children.keys()].join()} did not end`);
      if (this.#failures.length > 0) return;
      await pause(RESTART_MS);
    }
  }

  async #readAll(): Promise<void> {
    const client = new TestClient(this.#server.url);
    for (let start: number | null = 0; start !== null;) {
      const read = this.#recorder.invoke({ does: 'read' });
      const body = { range: { start, end: Number.MAX_SAFE_INTEGER, rows_max: PAGE_ROWS } };
      const answer = await client.request('POST', `/v1/partitions/${PARTITION}/rows:read`, body);
      const { index_id: ids, ...columns } = columnsOf(answer.bytes);
      const cellsAt = (place: number): [string, string][] =>
        Object.entries(columns).map(([field, values]) => [field, digestOf(values[place] as string)]);
      const rows = (ids as number[]).map((id, place) => ({ id, cells: Object.fromEntries(cellsAt(place)) }));
      read({ outcome: answer.outcome, rows });
      const next = answer.headers.get('tq-next');
      start = next === null ? null : Number(next);
    }
  }

  #json(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    return new TestClient(this.#server.url).json(method, path, body);
  }

  #history(): History {
    const names = readdirSync(this.#work.path).filter((name) => name.endsWith('.jsonl'));
    return joinLines(names.flatMap((name) => parseLines(readFileSync(join(this.#work.path, name), 'utf8'))));
  }
}

export function runKills(options: KillOptions): Promise<{ history: History; failures: readonly string[] }> {
  return new Driver(options).run();
}
