/** A node whose partitions have budgets, puts that wait, and what becomes of them. */
import type { Caller, PutCommand, QueueChange } from '../../../server/engine/commands.ts';
import type { NodeBudget } from '../../../server/engine/budget_room.ts';
import type { Node } from '../../../server/engine/node.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import type { PutAnswer } from '../../../server/engine/put.ts';
import { bodyOf, caller, declareTest, openTestNode, putText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const MEMORY = 9 << 20;

/** What became of a put so far. */
export interface Outcome {
  readonly promise: Promise<void>;
  /** `waits`, `done`, or the code of the refusal. */
  end: string;
  details: Record<string, unknown>;
}

type PutOptions = Partial<PutCommand> & { readonly field?: string; readonly value?: string };

export class BudgetWorld {
  readonly env: SimEnv;
  readonly node: Node;

  private constructor(env: SimEnv, node: Node) {
    this.env = env;
    this.node = node;
  }

  static async open(budget: NodeBudget = { rowsMax: 0, bytesMax: 0 }): Promise<BudgetWorld> {
    const env = simEnv(SimFs.withReserve(DIR));
    const { node } = await openTestNode(env, DIR, MEMORY, { budget });
    return new BudgetWorld(env, node);
  }

  declare(queue: QueueChange, name = 'p'): ReturnType<typeof declareTest> {
    return declareTest(this.node, name, { queue });
  }

  put(ids: readonly number[], options: PutOptions = {}, from: Caller = caller): Promise<PutAnswer> {
    const { partition = 'p', field = 'a', value = 'v', ...command } = options;
    const values = ids.map((id) => `${value}${id}`);
    return putText(this.node, partition, ids, field, values, command, from);
  }

  /** A put that waits for up to 5 seconds, as soon as it is under way. */
  async waiting(ids: readonly number[], options: PutOptions = {}, from = caller): Promise<Outcome> {
    const running = this.put(ids, { waitMs: 5_000, ...options }, from);
    const outcome: Outcome = { end: 'waits', details: {}, promise: running.then(done, failed) };
    function done(): void {
      outcome.end = 'done';
    }
    function failed(error: { code: string; details: Record<string, unknown> }): void {
      outcome.end = error.code;
      outcome.details = error.details;
    }
    await settle();
    return outcome;
  }

  remove(ids: readonly number[], partition = 'p'): ReturnType<typeof deleteRows> {
    return deleteRows(this.node, partition, { ids: Float64Array.from(ids), requestId: '' });
  }
}

export async function ends(outcomes: readonly Outcome[]): Promise<string[]> {
  await settle();
  return outcomes.map(({ end }) => end);
}

/** Bytes of a put of field a, as its extent counts them. */
export function sizeOf(ids: readonly number[], value = 'v'): number {
  const values = ids.map((id) => `${value}${id}`);
  return bodyOf(ids, 'a', values, false).length;
}
