/**
 * Planted bugs of the queue that the simulation must find: if it does not, it proves nothing. Each is planted from
 * outside, into the machine, into a part of the node or into its clock, so that the product has no switches for them.
 */
import { vi } from 'vitest';
import { Budgets } from '../../../server/engine/budgets.ts';
import { RequestTable } from '../../../server/engine/requests.ts';
import { NodeState } from '../../../server/engine/state.ts';
import { Waits } from '../../../server/engine/waits.ts';
import { Journal } from '../../../server/journal/journal.ts';
import { machine } from '../../../server/queue/machine.ts';
import type { SimEnv } from '../../support/sim_env.ts';
import type { SetClock } from './world.ts';

export interface Mutation {
  readonly bug: string;
  /** Plants it into the parts that all nodes share. */
  readonly plant?: () => void;
  /** Plants it into the world of one node. */
  readonly plantIn?: (env: SimEnv) => void;
}

const { prototype: nodeState } = NodeState;
const { prototype: budgets } = Budgets;
const { prototype: waits } = Waits;
const { prototype: journal } = Journal;
/** Above all ids. */
const NO_ID = 1_000;

export const mutations: readonly Mutation[] = [
  {
    bug: 'leases lost on restart',
    plant: () => {
      const { restartLeases } = machine;
      vi.spyOn(machine, 'restartLeases').mockImplementation((queue, now) => restartLeases(queue, now - 1e9));
    },
  },
  {
    bug: 'ack without a check of the token',
    plant: () => {
      const { decideAck } = machine;
      vi.spyOn(machine, 'decideAck').mockImplementation((queue, command) => {
        const decision = decideAck(queue, command);
        return decision.kind === 'refuse' ? { kind: 'already' } : decision;
      });
    },
  },
  {
    bug: 'rows ready before their bytes',
    plant: () => {
      const { applyInsert } = machine;
      vi.spyOn(machine, 'applyInsert').mockImplementation((queue, insert, now) =>
        applyInsert(queue, { ...insert, fields: [0, 1] }, now),
      );
    },
  },
  {
    bug: 'groups split',
    plant: () => {
      const { decideClaim } = machine;
      vi.spyOn(machine, 'decideClaim').mockImplementation((queue, command, now) =>
        decideClaim(queue, { ...command, sampler: command.sampler === 'group' ? 'fifo' : command.sampler }, now),
      );
    },
  },
  {
    bug: 'retries act again',
    plant: () => void vi.spyOn(RequestTable.prototype, 'get').mockReturnValue(undefined),
  },
  {
    bug: 'leases that expire by the wall clock',
    plantIn: ({ clock }) => {
      const nowMs = clock.nowMs.bind(clock);
      clock.nowMs = () => nowMs() + (clock as SetClock).setMs;
    },
  },
  {
    bug: 'waiters lost on a race: every third change wakes nobody',
    plant: () => {
      const { wake } = waits;
      let changes = 0;
      vi.spyOn(waits, 'wake').mockImplementation(function (this: Waits, event) {
        if (++changes % 3 > 0) wake.call(this, event);
      });
    },
  },
  {
    bug: 'ranks get different rows',
    plant: () => {
      const { decideClaim } = machine;
      vi.spyOn(machine, 'decideBatch').mockImplementation((queue, command, now) => {
        const decision = decideClaim(queue, command, now);
        if (decision.kind !== 'grant') return decision;
        return { ...decision, kind: 'parts', parts: [{ ...decision, part: command.batch!.part }], emptied: false };
      });
    },
  },
  {
    bug: 'dead letters given out again',
    plant: () => {
      const { applyRelease } = machine;
      vi.spyOn(machine, 'applyRelease').mockImplementation((queue, event) => {
        const { settings } = queue;
        queue.settings = { ...settings, tasks: [] };
        applyRelease(queue, event);
        queue.settings = settings;
      });
    },
  },
  {
    bug: 'rows passed for good come back after a restart',
    plant: () => {
      const { apply } = nodeState;
      vi.spyOn(nodeState, 'apply').mockImplementation(function (this: NodeState, event, placed) {
        return event.type === 'skip' && placed.replayed ? 0 : apply.call(this, event, placed);
      });
    },
  },
  {
    bug: 'tags visible before their put',
    plant: () => {
      const { decideTags } = machine;
      vi.spyOn(machine, 'decideTags').mockImplementation((queue, change, options) => {
        const refusal = decideTags(queue, change, options);
        if (refusal === undefined) machine.applyTags(queue, change);
        return refusal;
      });
    },
  },
  {
    bug: 'the budget counts a row twice',
    plant: () => {
      const { obstacle } = budgets;
      vi.spyOn(budgets, 'obstacle').mockImplementation(function (this: Budgets, put) {
        const ids = Float64Array.from([...put.ids, ...put.ids.map((id) => NO_ID + id)]);
        return obstacle.call(this, { ...put, ids });
      });
    },
  },
  {
    bug: 'renewals that change nothing',
    plant: () => void vi.spyOn(machine, 'renewLease').mockReturnValue(),
  },
  {
    bug: 'acks not journaled',
    plant: () => {
      const { append } = journal;
      vi.spyOn(journal, 'append').mockImplementation(function (this: Journal, event, level) {
        return append.call(this, event, event.type === 'ack' ? 'memory' : level);
      });
    },
  },
];
