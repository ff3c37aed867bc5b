/** Performs a step of a random sequence on an engine. */
import type { Harness } from './harness.ts';
import type { Step } from './sequences.ts';

/** The answer to a step; claims are named by how many came after them. */
export function perform(harness: Harness, step: Step, groupSize: number): unknown {
  const claims = harness.journal.filter((event) => event.type === 'claim');
  const recent = (index: number): number => claims[claims.length - 1 - index]?.claim ?? 1_000_000;
  switch (step.kind) {
    case 'put':
      return harness.put(step.ids, step.fields);
    case 'putGroup': {
      const first = step.of - (step.of % groupSize);
      return harness.put(
        Array.from({ length: groupSize }, (_, k) => first + k),
        step.fields,
      );
    }
    case 'putWithAck':
      return harness.put(step.ids, step.fields, recent(step.claim));
    case 'remove':
      return harness.remove(step.ids);
    case 'claim':
      return harness.claim(step.command);
    case 'ack':
    case 'release':
      return harness[step.kind](recent(step.claim));
    case 'undelivered':
      return harness.release(recent(step.claim), 'undelivered');
    case 'requeue':
      return harness.requeue(step.task, step.ids);
    case 'reset':
      return harness.reset(step.task);
    case 'skip':
      return harness.skip(step.task, step.fields, step.ids);
    case 'declare':
      return harness.declare({ tasks: step.tasks });
    case 'renew':
      return harness.renew(recent(step.claim), step.leaseMs);
    case 'advance':
      return harness.advance(step.ms);
    case 'seal':
      return harness.seal();
    default:
      return undefined;
  }
}
