/**
 * Nothing that a node knows is left out of its checkpoints: whatever happened, a start from the last checkpoint and the
 * journal after it finds the state that was running.
 */
import { describe, expect, test } from 'vitest';
import { endClaim, renewClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows, drop, seal } from '../../../server/engine/partitions.ts';
import { StoreError } from '../../../server/errors.ts';
import { claimOf, declareTest, openTestNode, putText, readText } from '../../support/node.ts';
import { seededRandom, settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';
import { dumpNode } from './node_dump.ts';

const DIR = '/data';
const FIELDS = ['a', 'b', 'c'];

async function open(env: SimEnv): Promise<OpenedNode & { env: SimEnv }> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

function afterKill({ env }: { env: SimEnv }): ReturnType<typeof open> {
  return open(simEnv(env.fs.afterCrash(), env.clock));
}

/** Random work on a node; refusals are part of it. */
class Work {
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
    switch (this.int(12)) {
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
      default:
        return this.#rare(node, partition);
    }
  }

  async #put(node: OpenedNode['node'], partition: string, requestId: string): Promise<void> {
    const ids = this.#ids(6);
    const values = ids.map((id) => `${id}:${this.int(1e6)}`);
    const claim = this.int(4) === 0 ? this.#token() : null;
    await putText(node, partition, ids, FIELDS[this.int(3)], values, { requestId, claim, ifAbsent: this.int(5) === 0 });
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

  async #rare(node: OpenedNode['node'], partition: string): Promise<void> {
    const what = this.int(12);
    if (what === 0) await seal(node, 'q');
    if (what === 1) {
      await drop(node, partition);
      await declareAll(node);
    }
    if (what === 2) await declareTest(node, `more-${this.int(3)}`, { ack: 'disk' });
  }

  #token(): string {
    return this.tokens[this.int(this.tokens.length)] ?? 'none';
  }

  #ids(countMax: number): number[] {
    return [...new Set(Array.from({ length: 1 + this.int(countMax) }, () => this.int(40)))];
  }
}

async function declareAll(node: OpenedNode['node']): Promise<void> {
  await declareTest(node, 'p');
  await declareTest(node, 'q', { ack: 'disk' });
  await declareTest(node, 'group', { groupSize: 4 });
  await declareTest(node, 'volatile', { ack: 'memory' });
}

async function run(seed: number): Promise<void> {
  const work = new Work(seed);
  let node = await open(simEnv(SimFs.withReserve(DIR)));
  await declareAll(node.node);
  for (let crash = 0; crash < 4; crash++) {
    const running: Promise<unknown>[] = [];
    for (let step = 0; step < 60; step++) {
      const doing = work.step(node).catch((error: unknown) => {
        if (!(error instanceof StoreError)) throw error;
      });
      if (work.int(3) > 0) await doing;
      else running.push(doing);
      if (work.int(15) === 0) running.push(node.node.checkpoints.run());
    }
    await Promise.all(running);
    await settle();
    const before = await dumpNode(node.node);
    const again = await afterKill(node);
    expect(await dumpNode(again.node)).toEqual(before);
    node = again;
  }
  expect(node.env.crashes).toEqual([]);
}

describe('a start from a checkpoint', () => {
  const seeds = Number(process.env.RUNS ?? (process.env.TQ_LONG === undefined ? 20 : 2_000));
  const first = Number(process.env.SEED ?? 1);
  test.each(Array.from({ length: seeds }, (_, i) => first + i))('finds the state that was running, seed %i', run);

  test('removes the journal that it does not need, and reads rows from before', async () => {
    const first = await open(simEnv(SimFs.withReserve(DIR)));
    await declareAll(first.node);
    await putText(first.node, 'p', [1, 2], 'a', ['one', 'two']);
    await first.node.checkpoints.run();
    await putText(first.node, 'p', [2], 'b', ['zwei']);
    expect([...first.env.fs.files.keys()].filter((path) => path.includes('/journal/'))).toHaveLength(1);
    const second = await afterKill(first);
    expect(second.recovery.events).toBeLessThan(5);
    expect(await readText(second.node, 'p', [2])).toEqual({ index_id: ['2'], a: ['two'], b: ['zwei'] });
    expect(await readText(second.node, 'p', [1], ['a'])).toEqual({ index_id: ['1'], a: ['one'] });
  });
});
