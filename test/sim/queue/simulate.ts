/**
 * D3: one seed of the queue's simulation. First clients act while the node is killed and loses power; after the last
 * fault, what is missing is put, and consumers that were waiting before must drain every task in 30 simulated seconds.
 */
import { createHash } from 'node:crypto';
import { check, type Report } from '../../queue_checker/checker.ts';
import { joinLines } from '../../queue_checker/history.ts';
import { declareTest } from '../../support/node.ts';
import { seededRandom } from '../../support/sim_env.ts';
import type { Plant } from '../life.ts';
import { PARTITION, Recorder } from './recorder.ts';
import {
  allTasks,
  ATTEMPTS_MAX,
  GROUP_SIZE,
  IDS,
  lastClaim,
  ROWS_MAX,
  tasks,
  Workload,
  type Task,
} from './workload.ts';
import { World } from './world.ts';

const STEPS = 46;
const TIMES_MS = [300, 700, 1_001, 2_001];
/** By how much the wall clock is set; longer than all is waited for. */
const SET_MS = 60_000;
const LIVENESS_MS = 30_000;
const STEP_MS = 250;
const LAYOUTS = new Map(['a', 'b'].map((name) => [name, { layout: 'bytes' } as const]));

export interface Simulated extends Omit<Report, 'voids'> {
  /** Of the whole history: equal for equal seeds. */
  readonly digest: string;
}

export async function simulate(seed: number, plant: Plant = (env) => env): Promise<Simulated> {
  const simulation = new Simulation(seed, plant);
  return simulation.run();
}

class Simulation {
  readonly #random: () => number;
  readonly #recorder = new Recorder();
  readonly #world: World;
  readonly #workload: Workload;
  /** Only what was synced survives a power cut, so then everything is. */
  readonly #ack: 'os' | 'disk';
  readonly #found: string[] = [];

  constructor(seed: number, plant: Plant) {
    this.#random = seededRandom(seed);
    this.#ack = this.#random() < 0.5 ? 'disk' : 'os';
    this.#world = new World(this.#random, plant);
    this.#workload = new Workload(this.#recorder, this.#random);
  }

  async run(): Promise<Simulated> {
    await this.#start();
    await this.#declare(ROWS_MAX);
    await this.#actWithFaults();
    if (this.#isSound) await this.#drainAll();
    await this.#world.close();
    const { lines, broken } = this.#recorder;
    const { counters, violations } = check(joinLines(lines), { final: true });
    const all = [...this.#world.crashes, ...broken, ...this.#found, ...violations];
    return { counters, violations: all, digest: createHash('sha256').update(JSON.stringify(lines)).digest('hex') };
  }

  get #isSound(): boolean {
    return this.#world.env.crashes.length === 0 && this.#recorder.broken.length === 0;
  }

  async #start(): Promise<void> {
    await this.#world.start();
    this.#recorder.begin(this.#world.life);
  }

  async #declare(rowsMax: number | null): Promise<void> {
    const declared = allTasks.map((name) => ({ name, maxAttempts: name === 'letters' ? ATTEMPTS_MAX : undefined }));
    this.#recorder.declared(tasks, rowsMax);
    const queue = { tasks: declared, numbers: ['version', 'priority'], rowsMax };
    const settings = { ack: this.#ack, groupSize: GROUP_SIZE, fields: LAYOUTS, queue };
    await this.#world.ended(declareTest(this.#world.life.node, PARTITION, settings));
  }

  async #actWithFaults(): Promise<void> {
    for (let step = 0; step < STEPS && this.#isSound; step++) {
      const choice = this.#random();
      if (choice < 0.04) await this.#crash();
      else if (choice < 0.14) await this.#world.passTime(this.#pick(TIMES_MS));
      else if (choice < 0.16) await this.#world.ended(this.#world.checkpoint());
      else if (choice < 0.18) this.#world.clock.setMs += this.#random() < 0.5 ? SET_MS : -SET_MS;
      else await this.#act();
    }
    if (this.#isSound) await this.#crash();
  }

  /** Some acts are waited for, others are on their way while the next begin. */
  async #act(): Promise<void> {
    const act = this.#workload.act();
    if (this.#random() < 0.6) await this.#quiet(act);
  }

  /** Gives an act that waits for nothing but the disk the turns that it needs; one that waits longer goes on. */
  async #quiet(act: Promise<unknown>): Promise<void> {
    let isOver = false;
    void act.finally(() => (isOver = true));
    for (let turn = 0; turn < 40 && !isOver; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async #crash(): Promise<void> {
    await this.#world.crash(this.#ack === 'disk' && this.#random() < 0.5 ? 'power' : 'kill');
    this.#recorder.begin(this.#world.life);
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)];
  }

  async #drainAll(): Promise<void> {
    this.#world.clock.setMs -= SET_MS;
    const left = new Set<Task>(allTasks);
    const consumers = allTasks.map((task) => this.#drain(task).then(() => left.delete(task)));
    await this.#declare(null);
    await this.#quiet(this.#recorder.requeue('letters'));
    const value = (field: string, id: number): string => `${field} ${id} last`;
    for (const field of ['a', 'b']) {
      const tags = field === 'a' ? { version: 1_000 } : undefined;
      const rows = IDS.map((id) => ({ id, cells: { [field]: value(field, id) }, tags }));
      await this.#world.ended(this.#recorder.put({ field, rows, request: '' }));
    }
    await this.#world.ended(this.#recorder.seal());
    for (let ms = 0; ms < LIVENESS_MS && left.size > 0 && this.#isSound; ms += STEP_MS)
      await this.#world.passTime(STEP_MS);
    if (left.size > 0) {
      this.#found.push(`not drained after ${LIVENESS_MS} ms: ${[...left].join()}`);
      return;
    }
    await Promise.all(consumers);
    await this.#world.ended(this.#recorder.read(IDS));
  }

  async #drain(task: Task): Promise<void> {
    for (let turn = 0; ; turn++) {
      const answer = await this.#recorder.claim(lastClaim(task, `last-${task}-${turn}`));
      if (answer === null || answer.end !== undefined) return;
      await this.#recorder.end({ token: answer.token!, task }, 'ack');
    }
  }
}
