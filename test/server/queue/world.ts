/**
 * Runs a command sequence and judges every answer twice: by the model, and by the history that clients saw.
 *
 * From the first difference to the model on only the history judges, so that a bug shows which invariant it breaks; the
 * difference is reported when no invariant was.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Bitmaps } from '../../../server/queue/bitmaps.ts';
import type { ClaimCommand, Machine, PartitionQueue, QueueSettings } from '../../../server/queue/machine.ts';
import { Harness, type ClaimAnswer, type HarnessOptions } from './harness.ts';
import { History, Violation, type Told } from './history.ts';
import { Model, type Expected } from './model.ts';
import { FIELDS, LEASE_MS_MAX, ROWS, tasks, type Sequence, type Step } from './sequences.ts';

/** Throws a Violation, or what the queue threw. */
export function runSequence(
  machine: Machine,
  bitmaps: Bitmaps,
  sequence: Sequence,
  { checkpoints = false }: { checkpoints?: boolean } = {},
): void {
  const settings = { tasks: sequence.tasks };
  const world = new World({ machine, groupSize: sequence.groupSize, bitmaps, settings, checkpoints });
  for (const step of sequence.steps) world.perform(step);
  if (sequence.sealed) world.perform({ kind: 'seal' });
  for (const step of sequence.stepsAfter) world.perform(step);
  world.compareWithReplay();
  world.heal();
  world.close();
}

class World {
  readonly #machine: Machine;
  readonly #groupSize: number;
  readonly #settings: QueueSettings;
  readonly #harness: Harness;
  readonly #history = new History();
  /** Numbers of the claims granted, without those that a crash cut off. */
  #claims: number[] = [];
  /** Answers that are told when the journal is committed up to a length. */
  #untold: { readonly length: number; readonly told: Told }[] = [];
  #model: Model;
  /** How much of the journal the model has seen. */
  #modelled = 0;
  #difference: string | undefined;

  constructor(options: HarnessOptions) {
    this.#machine = options.machine;
    this.#groupSize = options.groupSize;
    this.#settings = options.settings ?? {};
    this.#harness = new Harness(options);
    this.#model = new Model(options.groupSize, this.#settings);
    this.#history.tell({ kind: 'declare', settings: this.#settings });
  }

  perform(step: Step): void {
    switch (step.kind) {
      case 'put':
        return this.#put(step.ids, step.fields, 0);
      case 'putGroup': {
        const first = step.of - (step.of % this.#groupSize);
        return this.#put(
          Array.from({ length: this.#groupSize }, (_, k) => first + k),
          step.fields,
          0,
        );
      }
      case 'putWithAck':
        return this.#put(step.ids, step.fields, this.#recent(step.claim));
      case 'remove':
        this.#harness.remove(step.ids);
        return this.#tell({ kind: 'remove', ids: step.ids });
      case 'claim':
        this.#claim(step.command);
        return;
      case 'ack':
      case 'release':
      case 'undelivered':
        return this.#end(step.kind, this.#recent(step.claim));
      case 'requeue':
        return this.#requeue(step.task, step.ids);
      case 'reset':
        return this.#reset(step.task);
      case 'skip':
        return this.#skip(step);
      case 'declare': {
        const settings = { tasks: step.tasks };
        this.#harness.declare(settings);
        return this.#tell({ kind: 'declare', settings });
      }
      case 'renew':
        return this.#renew(this.#recent(step.claim), step.leaseMs);
      case 'advance':
        return this.#advance(step.ms);
      case 'seal':
        this.#harness.seal();
        return this.#tell();
      case 'commit':
        this.#harness.commit();
        return this.#deliver();
      case 'crash':
        return this.#crash(step.partKept);
    }
  }

  /** A queue made from the journal is the one that made the journal. */
  compareWithReplay(): void {
    const copy = this.#harness.replayed();
    this.#compare('replay', picture(this.#machine, copy), picture(this.#machine, this.#harness.queue));
    this.#machine.drop(copy);
  }

  /** All faults end: every lease runs out, and every task asks for whatever it can get (I4), dead letters included. */
  heal(): void {
    this.perform({ kind: 'commit' });
    this.#advance(LEASE_MS_MAX);
    for (const task of tasks) {
      this.#requeue(task, everyId);
      for (let field = 0; field < FIELDS; field += 1) {
        const wanted = { task, fields: [field], rowsMax: 5, rowsMin: 1, sampler: 'fifo' } as const;
        while (this.#claim({ ...wanted, leaseMs: 10, autoAck: false, requestId: '' })) {
          this.#end('ack', this.#recent(0));
          this.perform({ kind: 'commit' });
        }
        this.#history.expectConsumed(task, [field]);
      }
    }
    if (this.#difference !== undefined) throw new Violation(this.#difference);
  }

  close(): void {
    this.#machine.drop(this.#harness.queue);
  }

  #put(ids: readonly number[], fields: readonly number[], ackClaim: number): void {
    const expected = this.#model.expectPut(ids, ackClaim);
    const answer = this.#harness.put(ids, fields, ackClaim);
    this.#compare(`put with ack ${ackClaim}`, answer, expected);
    if (answer === 'partition_sealed') return;
    if (ackClaim !== 0) this.#tell({ kind: 'ack', claim: ackClaim, answer });
    if (answer === 'ok') this.#tell({ kind: 'put', ids, fields });
  }

  /** Whether rows were granted. */
  #claim(command: ClaimCommand): boolean {
    const expected = this.#model.expectClaim(command);
    const answer = this.#harness.claim(command);
    this.#compare('claim', shapeOf(answer), expected);
    if (answer.kind === 'drained') this.#tell({ kind: 'drained', task: command.task });
    if (answer.kind !== 'grant') return false;
    this.#claims.push(answer.event.claim);
    const groupSize = command.sampler === 'group' ? this.#groupSize : 1;
    this.#tell({ kind: 'grant', event: answer.event, groupSize, at: this.#harness.now });
    return true;
  }

  #requeue(task: string, ids: readonly number[]): void {
    const expected = this.#model.idsIn('dead', task, ids).length;
    const rows = this.#harness.requeue(task, ids);
    this.#compare(`requeue by ${task}`, rows, expected);
    this.#tell({ kind: 'requeue', task, ids, rows });
  }

  #reset(task: string): void {
    const expected = this.#model.rows().length - this.#model.idsIn('unclaimed', task).length;
    this.#compare(`reset of ${task}`, this.#harness.reset(task), expected);
    this.#tell({ kind: 'reset', task });
  }

  #skip({ task, fields, ids }: Extract<Step, { kind: 'skip' }>): void {
    const expected = this.#model.idsIn('unclaimed', task, ids).length;
    const rows = this.#harness.skip(task, fields, ids);
    this.#compare(`skip by ${task}`, rows, expected);
    this.#tell({ kind: 'skip', task, ids, rows });
  }

  #end(kind: 'ack' | 'release' | 'undelivered', claim: number): void {
    const expected = kind === 'ack' ? this.#model.expectAck(claim) : this.#model.expectRelease(claim);
    const answer =
      kind === 'ack' ? this.#harness.ack(claim) : this.#harness.release(claim, kind === 'release' ? 'released' : kind);
    this.#compare(`${kind} ${claim}`, answer, expected);
    this.#tell({ kind, claim, answer });
  }

  #renew(claim: number, leaseMs: number): void {
    const expected = this.#model.expectRenew(claim, leaseMs);
    const answer = this.#harness.renew(claim, leaseMs);
    this.#compare(`renew ${claim}`, answer, expected);
    if (typeof answer !== 'number') return;
    const { now } = this.#harness;
    if (this.#difference === undefined) this.#model.renew(claim, answer, now);
    this.#tell({ kind: 'renew', claim, untilMs: now + answer });
  }

  #advance(ms: number): void {
    const expected = this.#model.expectExpired(this.#harness.now + ms);
    const claims = this.#harness.advance(ms);
    this.#compare('expiry', claims, expected);
    // Each expiry is an event by itself: a crash may keep some of them.
    const first = this.#harness.journal.length - claims.length + 1;
    claims.forEach((claim, i) => this.#tell({ kind: 'expired', claim }, first + i));
  }

  #crash(partKept: number): void {
    this.#harness.crash(partKept);
    const { journal, now } = this.#harness;
    this.#untold = this.#untold.filter(({ length }) => length <= journal.length);
    this.#deliver();
    this.#claims = journal.flatMap((event) => (event.type === 'claim' ? event.claim : []));
    if (this.#difference !== undefined) return;
    this.#model = new Model(this.#groupSize, this.#settings);
    for (const event of journal) this.#model.apply(event, 0);
    this.#model.restart(now);
    this.#modelled = journal.length;
  }

  /** The model sees what was journaled; the answer is told when that is committed. */
  #tell(told?: Told, length = this.#harness.journal.length): void {
    const { journal, now } = this.#harness;
    if (this.#difference === undefined) {
      for (const event of journal.slice(this.#modelled)) this.#model.apply(event, now);
      this.#modelled = journal.length;
      this.#compareTasks();
    }
    if (told !== undefined) this.#untold.push({ length, told });
  }

  /** Where the rows stand with each task. */
  #compareTasks(): void {
    for (const { task, leased, consumed, dead, skipped } of this.#machine.stats(this.#harness.queue).tasks) {
      const count = (state: 'leased' | 'consumed' | 'dead'): number => this.#model.idsIn(state, task).length;
      const expected = [count('leased'), count('consumed'), count('dead'), this.#model.skipped.get(task) ?? 0];
      this.#compare(`the counts of ${task}`, [leased, consumed, dead, skipped], expected);
    }
  }

  #deliver(): void {
    for (const { told } of this.#untold) this.#history.tell(told);
    this.#untold = [];
  }

  /** The claim that so many others came after; an unknown one when there were not so many. */
  #recent(index: number): number {
    return this.#claims[this.#claims.length - 1 - index] ?? 1_000_000;
  }

  #compare(what: string, actual: unknown, expected: unknown): void {
    if (this.#difference !== undefined || isDeepStrictEqual(actual, expected)) return;
    this.#difference = `model: ${what} gave ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`;
  }
}

const everyId = Array.from({ length: ROWS }, (_row, id) => id);

function shapeOf(answer: ClaimAnswer): Expected {
  if (answer.kind === 'refuse') return { kind: 'refuse' };
  if (answer.kind === 'wait') return { kind: 'wait', counts: answer.counts };
  if (answer.kind === 'drained') return answer;
  const { ids, attempts } = answer.event;
  return { kind: 'grant', rows: Array.from(ids, (id, i) => ({ id, attempt: attempts[i] })) };
}

/** All that can be seen of a queue but for the deadlines. */
function picture(machine: Machine, queue: PartitionQueue): unknown {
  const { tasks: seen, nextDeadlineMs: _, ...others } = machine.stats(queue);
  return {
    ...others,
    tasks: seen.map((task) => ({ ...task, oldest: task.oldest?.claim })),
    rows: everyId.map((id) => machine.rowStatus(queue, id)),
    dead: Array.from(queue.tasks.values(), (task) => machine.deadLetters(queue, task, 0, ROWS)),
    claims: [...queue.claims.keys()],
    ended: Array.from(queue.ended, ([claim, { how, task }]) => [claim, how, task.name]),
    expired: Array.from(queue.expired, (claim) => claim.claim),
  };
}
