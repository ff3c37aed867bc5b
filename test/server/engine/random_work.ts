/** Random work on a node, of every kind that changes its state. */
import { endClaim, renewClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { tagRows } from '../../../server/engine/tags.ts';
import { requeue, resetTask } from '../../../server/engine/tasks.ts';
import { bodyOf, claimOf, declareTest, putBody } from '../../support/node.ts';
import { seededRandom, type SimEnv } from '../../support/sim_env.ts';

const FIELDS = ['a', 'b', 'c'];

/** Random work on a node; refusals are part of it. */
export class Work {
  readonly #random: () => number;
  readonly tokens: string[] = [];
  #count = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  int(end: number): number {
    return Math.floor(this.#random() * end);
  }

  async step({ node, env }: { node: OpenedNode['node']; env: SimEnv }): Promise<void> {
    const partition = ['p', 'q', 'group', 'volatile'][this.int(4)];
    const requestId = this.int(2) === 0 ? '' : `request-${this.int(5) === 0 ? this.int(20) : ++this.#count}`;
    switch (this.int(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.#put(node, partition, requestId);
      case 4:
      case 5:
      case 6:
        return this.#claim(node, partition, requestId);
      case 7:
      case 8:
        await endClaim(node, this.#token(), this.int(3) === 0 ? 'release' : 'ack', requestId);
        return;
      case 9:
        await deleteRows(node, partition, { ids: Float64Array.from(this.#ids(5)), requestId });
        return;
      case 10:
        renewClaim(node, this.#token(), 5_000);
        await env.clock.advance(this.int(4_000));
        return;
      case 11:
      case 12:
        await tagRows(node, { partition, ids: Float64Array.from(this.#ids(3)), tags: [this.#patch()], requestId });
        return;
      case 13:
      case 14:
        return this.#task(node, partition, requestId);
      default:
        return this.#rare(node, partition);
    }
  }

  async #put(node: OpenedNode['node'], partition: string, requestId: string): Promise<void> {
    const ids = this.#ids(6);
    const values = ids.map((id) => `${id}:${this.int(1e6)}`);
    const claim = this.int(4) === 0 ? this.#token() : null;
    const tags = this.int(2) === 0 ? undefined : ids.map(() => (this.int(3) === 0 ? '' : this.#patch()));
    const body = bodyOf(ids, FIELDS[this.int(3)], values, true, tags);
    await putBody(node, partition, body, { requestId, claim, ifAbsent: this.int(5) === 0 });
  }

  /** Text of a patch that rows may have, unless its number is no number or its key another one than theirs. */
  #patch(): string {
    const patches = [
      { status: this.int(2) === 0 ? 'done' : 'running' },
      { status: null },
      { reward: this.int(10), status: { by: this.int(3) } },
      { reward: null, late: this.int(2) === 0 ? this.int(5) : 'yes' },
      { late: null, tq_key: `key-${this.int(2)}` },
    ];
    return JSON.stringify(patches[this.int(patches.length)]);
  }

  async #claim(node: OpenedNode['node'], partition: string, requestId: string): Promise<void> {
    const fields = FIELDS.slice(0, 1 + this.int(2));
    const take = { fields, task: `task-${this.int(2)}`, rowsMax: 4 + this.int(4), leaseMs: 3_000 };
    const sampler = partition === 'group' ? 'group' : 'fifo';
    const outcome = await claimOf(node, partition, { ...take, sampler, requestId, autoAck: this.int(5) === 0 });
    if (outcome.kind !== 'claimed') return;
    outcome.located.close();
    this.tokens.push(outcome.token);
  }

  async #task(node: OpenedNode['node'], partition: string, requestId: string): Promise<void> {
    const task = { partition, task: `task-${this.int(2)}` };
    const what = this.int(8);
    if (what === 0) await resetTask(node, task, requestId);
    else if (what < 6) await requeue(node, task, what < 3 ? null : Float64Array.from(this.#ids(5)));
    else {
      const { id, settings } = node.partition(partition);
      const event = { type: 'skip', partition: id, task: task.task, fields: [0] } as const;
      await node.commit({ ...event, ids: Float64Array.from(this.#ids(3)) }, settings.ack).commit;
    }
  }

  async #rare(node: OpenedNode['node'], partition: string): Promise<void> {
    const what = this.int(12);
    if (what === 0) await seal(node, 'q');
    if (what === 1) {
      await drop(node, partition);
      await declareAll(node);
    }
    if (what === 2) await declareTest(node, `more-${this.int(3)}`, { ack: 'disk' });
    if (what === 3) await declareTest(node, partition, { queue: { numbers: ['late'] } });
  }

  #token(): string {
    return this.tokens[this.int(this.tokens.length)] ?? 'none';
  }

  #ids(countMax: number): number[] {
    return [...new Set(Array.from({ length: 1 + this.int(countMax) }, () => this.int(40)))];
  }
}

export async function declareAll(node: OpenedNode['node']): Promise<void> {
  const tasks = [{ name: 'task-0', maxAttempts: 2 }, { name: 'task-1' }];
  await declareTest(node, 'p', { queue: { numbers: ['reward'], tasks: tasks.slice(0, 1) } });
  await declareTest(node, 'q', { ack: 'disk', queue: { tasks, release: 'consumed' } });
  await declareTest(node, 'group', { groupSize: 4 });
  await declareTest(node, 'volatile', { ack: 'memory' });
}
