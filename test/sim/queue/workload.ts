/**
 * What the clients of the simulated queue do, chosen by a seed: puts of whole and of half rows, tags, claims of all
 * kinds, and all ends of a claim; requests are repeated, some of them in a later life of the node.
 *
 *   plain    a        fifo, by a filter, by priority, exact ids
 *   groups   a, b     whole groups
 *   window   a        passes rows that are two versions old
 *   letters  a        dead letters after two attempts
 *   ranks    b        two parts of shared batches
 */
import type { ClaimTake } from '../../../server/engine/commands.ts';
import type { PutRow, TaskRule } from '../../queue_checker/history.ts';
import type { Asked, Recorder } from './recorder.ts';

export const GROUP_SIZE = 2;
export const ATTEMPTS_MAX = 2;
export const ROWS_MAX = 14;
export const LEASE_MS = 2_000;
const STALENESS = 1;
/** More ids than the budget has room for. */
export const IDS = Array.from({ length: ROWS_MAX + 10 }, (_, id) => id);
const KINDS = ['x', 'y'];
const CLAIMS_KEPT = 8;
const REPEATS_KEPT = 12;
const WAITS_MS = [0, 0, 0, 1_000, 5_000];

export const tasks = {
  plain: { fields: ['a'] },
  groups: { fields: ['a', 'b'] },
  window: { fields: ['a'] },
  letters: { fields: ['a'], attemptsMax: ATTEMPTS_MAX },
  ranks: { fields: ['b'] },
} as const satisfies Record<string, TaskRule>;
export type Task = keyof typeof tasks;
export const allTasks = Object.keys(tasks) as readonly Task[];

interface Held {
  readonly token: string;
  readonly task: Task;
  readonly ids: readonly number[];
}

export class Workload {
  readonly #recorder: Recorder;
  readonly #random: () => number;
  #held: Held[] = [];
  #repeats: (() => Promise<unknown>)[] = [];
  #requests = 0;
  #values = 0;
  #version = 0;
  #batch = 0;

  constructor(recorder: Recorder, random: () => number) {
    this.#recorder = recorder;
    this.#random = random;
  }

  act(): Promise<unknown> {
    const choice = this.#random();
    if (choice < 0.26) return this.#put();
    if (choice < 0.32) return this.#tag();
    if (choice < 0.6) return this.#claim();
    if (choice < 0.84) return this.#end();
    if (choice < 0.91) return this.#repeat();
    if (choice < 0.95) return this.#recorder.advance(++this.#version);
    return this.#recorder.look(this.#pick(allTasks), IDS);
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)];
  }

  #request(): string {
    return this.#random() < 0.4 ? '' : `r${++this.#requests}`;
  }

  /** Now, and perhaps again later. */
  #may<T>(request: string, act: () => Promise<T>): Promise<T> {
    if (request !== '') this.#repeats = [...this.#repeats, act].slice(-REPEATS_KEPT);
    return act();
  }

  #repeat(): Promise<unknown> {
    return this.#repeats.length === 0 ? Promise.resolve() : this.#pick(this.#repeats)();
  }

  #someIds(): number[] {
    const first = Math.floor(this.#random() * IDS.length);
    return IDS.slice(first, first + 1 + Math.floor(this.#random() * 5));
  }

  #rows(ids: readonly number[], field: string, isTagged: boolean): PutRow[] {
    return ids.map((id) => ({
      id,
      cells: field === '' ? {} : { [field]: `${field} ${id} v${++this.#values}` },
      tags: isTagged ? this.#tags() : undefined,
    }));
  }

  #tags(): PutRow['tags'] {
    const version = Math.max(0, this.#version - Math.floor(this.#random() * 2));
    return { kind: this.#pick(KINDS), version, priority: Math.floor(this.#random() * 4) };
  }

  #put(): Promise<unknown> {
    const field = this.#random() < 0.6 ? 'a' : 'b';
    const rows = this.#rows(this.#someIds(), field, field === 'a');
    const ifAbsent = this.#random() < 0.3;
    const request = this.#request();
    return this.#may(request, () => this.#recorder.put({ field, rows, request, ifAbsent }));
  }

  #tag(): Promise<unknown> {
    const kind = this.#pick(KINDS);
    const rows = this.#someIds().map((id) => ({ id, cells: {}, tags: { kind } }));
    const request = this.#request();
    return this.#may(request, () => this.#recorder.tag(rows, request));
  }

  async #claim(task = this.#pick(allTasks), waitMs = this.#pick(WAITS_MS)): Promise<void> {
    const requestId = this.#request();
    const rowsMax = GROUP_SIZE * (1 + Math.floor(this.#random() * 2));
    const take = {
      task,
      fields: tasks[task].fields,
      rowsMax,
      requestId,
      leaseMs: LEASE_MS,
      waitMs,
    };
    const { more, told } = this.#words(task);
    const asked = { take: { ...take, ...more }, told };
    const answer = await this.#may(requestId, () => this.#recorder.claim(asked));
    if (answer?.token === undefined) return;
    const held = { token: answer.token, task, ids: answer.rows!.map(({ id }) => id) };
    this.#held = [...this.#held, held].slice(-CLAIMS_KEPT);
  }

  #words(task: Task): { more: Partial<ClaimTake>; told: Asked['told'] } {
    const kind = this.#pick(KINDS);
    switch (task) {
      case 'groups':
        return { more: { sampler: 'group', rowsMin: GROUP_SIZE }, told: { groupSize: GROUP_SIZE } };
      case 'window':
        return {
          more: { window: { by: 'version', maxStaleness: STALENESS, onStale: 'skip' } },
          told: { staleness: STALENESS },
        };
      case 'ranks': {
        const number = this.#random() < 0.4 ? ++this.#batch : this.#batch;
        const part = Math.floor(this.#random() * 2);
        return { more: { batch: { name: 'b', number, part, parts: 2 } }, told: { batch: `b/${number}/${part}` } };
      }
      case 'plain':
        if (this.#random() < 0.6) return { more: { where: `kind == "${kind}"` }, told: { where: { kind } } };
        if (this.#random() < 0.3) return { more: { sampler: 'priority', by: 'priority' }, told: {} };
        if (this.#random() < 0.3) return { more: { ids: Float64Array.from(this.#someIds()) }, told: {} };
        return { more: { rowsMin: 2, partial: true }, told: {} };
      case 'letters':
        return { more: {}, told: {} };
    }
  }

  async #end(): Promise<void> {
    if (this.#held.length === 0) return;
    const held = this.#pick(this.#held);
    const { token, task, ids } = held;
    const choice = this.#random();
    if (choice < 0.2) {
      await this.#recorder.renew({ token, task }, LEASE_MS);
      // Somebody waits for these rows, and must not get them before the renewed lease ends.
      return this.#claim(task, Math.max(...WAITS_MS));
    }
    // Some claims are ended twice, and some by nobody.
    if (choice > 0.3) this.#held = this.#held.filter((one) => one !== held);
    const request = this.#request();
    if (choice < 0.45 && task !== 'ranks') {
      const rows = this.#rows(ids, 'b', false);
      await this.#may(request, () => this.#recorder.put({ field: 'b', rows, request, token, task }));
      return;
    }
    const how = choice < 0.8 ? 'ack' : 'release';
    await this.#may(request, () => this.#recorder.end({ token, task }, how, request));
  }
}

/** What every task asks for in the end, until it is drained. */
export function lastClaim(task: Task, requestId: string): Asked {
  const isGroup = task === 'groups';
  const words = isGroup ? { sampler: 'group', rowsMin: GROUP_SIZE } : {};
  return {
    take: { task, fields: tasks[task].fields, rowsMax: 6, requestId, leaseMs: LEASE_MS, waitMs: 60_000, ...words },
    told: isGroup ? { groupSize: GROUP_SIZE } : {},
  };
}
