/**
 * What the processes of the kill test do together, in one partition:
 *
 *   4 producers --tokens + tags, logprob--> rows, in groups of 4
 *   reference x 2   math and code by a filter          puts `ref`, as one event with its ack
 *   reward x 2      partial batches                    puts `reward`, as one event with its ack
 *   train x 2       whole groups, not older than 8 versions; acks, and advances the version
 */
import type { TaskRule } from '../../queue_checker/history.ts';

export const PARTITION = 'rollouts';
export const GROUP_SIZE = 4;
export const STALENESS = 8;
export const LEASE_MS = 1_500;
export const KINDS = ['math', 'code'] as const;

export const tasks = {
  reference: { fields: ['tokens', 'logprob'] },
  reward: { fields: ['tokens', 'logprob'] },
  train: { fields: ['tokens', 'ref', 'reward'] },
} as const satisfies Record<string, TaskRule>;
export type Task = keyof typeof tasks;

/** Fields that a task puts with its ack. */
export const results: Partial<Record<Task, string>> = { reference: 'ref', reward: 'reward' };

/** What each consumer adds to its claims, by its number within the task. */
export function wordsOf(task: Task, number: number): { readonly body: object; readonly told: object } {
  const kind = KINDS[number % KINDS.length];
  switch (task) {
    case 'reference':
      return { body: { rows_min: 1, where: `kind == "${kind}"` }, told: { where: { kind } } };
    case 'reward':
      return { body: { rows_min: 12, partial: true, linger_ms: 40 }, told: {} };
    case 'train':
      return {
        body: { rows_min: GROUP_SIZE, sampler: 'group', window: { max_staleness: STALENESS, on_stale: 'skip' } },
        told: { groupSize: GROUP_SIZE, staleness: STALENESS },
      };
  }
}

export type Process =
  | { readonly kind: 'producer'; readonly number: number }
  | { readonly kind: 'consumer'; readonly task: Task; readonly number: number };

export const processes: readonly Process[] = [
  ...[0, 1, 2, 3].map((number) => ({ kind: 'producer', number }) as const),
  ...(Object.keys(tasks) as Task[]).flatMap((task) =>
    [0, 1].map((number) => ({ kind: 'consumer', task, number }) as const),
  ),
];
