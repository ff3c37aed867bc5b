/**
 * Draws as lines of text: steps between semicolons, and behind ` = ` what they say.
 *
 *   n 4                                    groups of so many rows; only as the first step
 *   put 0-3,8 a                            rows with fields
 *   tag 0-3 {"length": 5}                  all alike; or `tag 0-1 [{...}, {...}]`: one patch for each
 *   length 3 - 4                           numbers of the rows 0, 1, 2; so with every declared number
 *   t/ab 1..8 word[value] ...              task t claims 1 to 8 rows with the fields a and b
 *   ack 1   release 1   del 0   at 50   advance 7   seal   restart   reset t   stats t
 *
 *   0 1@2 | 4 5                            rows granted, attempts but the first; parts of a batch
 *   0 1 partial                            fewer than asked for
 *   wait 1/0/2 stale 3 due 50              ready/leased/incomplete, the other counts, when it is due
 */
import { machine, type BatchDecision, type ClaimCommand, type PartitionQueue } from '../../../server/queue/machine.ts';
import { numbersOf } from '../sampler/table.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';
import { RecordStore } from './record_store.ts';

const NUMBERS = ['length', 'priority', 'weight', 'version', 'of'];
const LEASE_MS = 100;
const partition = 1;
const bitmaps = createPlainBitmaps(16, 64);

/** One a line; a line that ends with a semicolon goes on in the next one. */
export function casesIn(lines: string): string[] {
  return lines
    .replace(/;\n/g, ';')
    .split('\n')
    .map((line) => line.trim().replace(/; +/g, '; '))
    .filter((line) => line !== '');
}

/** The answers of the steps, and those that stand in the line. */
export function runLine(line: string): [actual: string[], expected: string[]] {
  const steps = line.split(';').map((step) => step.trim());
  const groupSize = steps[0].startsWith('n ') ? Number(steps.shift()!.slice(2)) : 1;
  const table = new Table(groupSize);
  const actual: string[] = [];
  const expected: string[] = [];
  for (const step of steps) {
    const [command, answer] = step.split(' = ');
    const given = table.perform(command);
    if (answer === undefined) continue;
    actual.push(`${command} = ${given}`);
    expected.push(`${command} = ${answer}`);
  }
  return [actual, expected];
}

class Table {
  readonly #groupSize: number;
  readonly #store = new RecordStore();
  #queue: PartitionQueue;
  #now = 0;
  #claimNext = 1;

  constructor(groupSize: number) {
    this.#groupSize = groupSize;
    this.#queue = machine.create(this.#options());
  }

  perform(step: string): string {
    const [verb, first = '', ...rest] = step.split(' ');
    const queue = this.#queue;
    if (verb === 'at') return this.#advanceClock(Number(first));
    if (verb === 'stats') return this.#statsText(first);
    if (verb.includes('/')) return this.#claim(commandOf(verb, first, rest.join(' ')));
    if (verb === 'put') machine.applyInsert(queue, { ids: idsOf(first), fields: fieldsOf(rest[0]) }, this.#now);
    else if (verb === 'del') machine.applyDelete(queue, idsOf(first));
    else if (verb === 'tag') this.#tag(idsOf(first), JSON.parse(rest.join(' ')));
    else if (NUMBERS.includes(verb)) this.#tagNumbers(verb, numbersOf(step.slice(verb.length).trim()));
    else if (verb === 'advance') machine.applyAdvance(queue, { version: Number(first) });
    else if (verb === 'seal') machine.applySeal(queue);
    else if (verb === 'ack') machine.applyAck(queue, { type: 'ack', ...endOf(first) });
    else if (verb === 'release') machine.applyRelease(queue, { type: 'release', reason: 'released', ...endOf(first) });
    else if (verb === 'reset') machine.applyReset(queue, { task: first });
    else if (verb === 'restart') this.#restart();
    else throw new Error(`no step begins with ${verb}`);
    return '';
  }

  #tag(ids: Float64Array, patches: unknown): void {
    const tags = (Array.isArray(patches) ? patches : [patches]).map((patch) => JSON.stringify(patch));
    const refusal = machine.decideTags(this.#queue, { ids, tags }, { withPut: false });
    if (refusal !== undefined) throw new Error(JSON.stringify(refusal));
    machine.applyTags(this.#queue, { ids, tags });
    machine.touchRows(this.#queue, ids, this.#now);
  }

  #tagNumbers(name: string, values: readonly number[]): void {
    const patches = values.map((value) => (Number.isNaN(value) ? {} : { [name]: value }));
    this.#tag(
      Float64Array.from(values, (_, id) => id),
      patches,
    );
  }

  #advanceClock(now: number): string {
    this.#now = now;
    const due = machine.decideExpire(this.#queue, now);
    for (const event of due) machine.applyRelease(this.#queue, event);
    return due.map(({ claim }) => claim).join(' ');
  }

  /** From a checkpoint of now. */
  #restart(): void {
    this.#store.saveAll(this.#queue);
    machine.drop(this.#queue);
    this.#queue = this.#store.load(this.#options());
    machine.restartLeases(this.#queue, this.#now);
  }

  #claim(command: ClaimCommand): string {
    const decision = this.#decide(command);
    switch (decision.kind) {
      case 'skip':
        machine.applySkip(this.#queue, { ...command, ids: decision.ids });
        return this.#claim(command);
      case 'refuse':
        return [decision.code, ...Object.values(decision.details ?? {})].join(' ');
      case 'wait':
        return this.#waitText(command, decision.dueMs);
      case 'known':
        return `known ${decision.claim}`;
      case 'empty':
        return `empty ${decision.outcome}`;
      case 'drained':
        return 'drained';
      case 'parts':
        return this.#grant(command, decision);
    }
  }

  #decide(command: ClaimCommand): BatchDecision {
    if (command.batch !== undefined) return machine.decideBatch(this.#queue, command, this.#now);
    const decision = machine.decideClaim(this.#queue, command, this.#now);
    if (decision.kind !== 'grant') return decision;
    return { kind: 'parts', parts: [{ part: 0, ...decision }], emptied: false, isPartial: decision.isPartial };
  }

  #grant(command: ClaimCommand, decision: Extract<BatchDecision, { kind: 'parts' }>): string {
    const { task, fields, autoAck, batch } = command;
    for (const { part, ids, attempts } of decision.parts) {
      const granted = { task, fields, ids, attempts, autoAck, leaseMs: LEASE_MS, claim: this.#claimNext++ };
      const event = { type: 'claim', partition, requestId: '', epoch: 1, batch: batch && { ...batch, part } } as const;
      machine.applyClaim(this.#queue, { ...event, ...granted }, this.#now);
    }
    if (decision.emptied) {
      machine.applyBatch(this.#queue, { type: 'batch', partition, task, ...batch!, outcome: 'timed_out' });
    }
    const texts = decision.parts.map(({ ids, attempts }) =>
      Array.from(ids, (id, i) => (attempts[i] === 1 ? `${id}` : `${id}@${attempts[i]}`)).join(' '),
    );
    return texts.join(' | ') + (decision.isPartial ? ' partial' : '');
  }

  #waitText(command: ClaimCommand, dueMs: number): string {
    const { ready, leased, incomplete, ...others } = machine.countClaim(this.#queue, command, this.#now);
    const words = Object.entries(others).map(([word, count]) => ` ${word} ${count}`);
    const due = dueMs === Infinity ? '' : ` due ${dueMs}`;
    return `wait ${ready}/${leased}/${incomplete}${words.join('')}${due}`;
  }

  #statsText(name: string): string {
    const { leased, consumed, skipped } = machine.stats(this.#queue).tasks.find(({ task }) => task === name)!;
    return `${leased} leased, ${consumed} consumed, ${skipped} skipped`;
  }

  #options(): Parameters<typeof machine.create>[0] {
    return { partition, groupSize: this.#groupSize, bitmaps, settings: { numbers: NUMBERS } };
  }
}

function endOf(claim: string): { partition: number; claim: number; requestId: string } {
  return { partition, claim: Number(claim), requestId: '' };
}

/** `t/ab`, `1..8`, `where[length > 3] priority` */
function commandOf(who: string, range: string, text: string): ClaimCommand {
  const [task, fields] = who.split('/');
  const [low, high = low] = range.split('..').map(Number);
  const words = new Map(Array.from(text.matchAll(/(\w+)(?:\[([^\]]*)\])?/g), ([, word, value]) => [word, value ?? '']));
  const sampler = ['group', 'priority', 'weighted', 'longest'].find((word) => words.has(word)) ?? 'fifo';
  const numberOf = (word: string): number | undefined => (words.has(word) ? Number(words.get(word)) : undefined);
  return {
    task,
    fields: fieldsOf(fields),
    rowsMin: low,
    rowsMax: high,
    sampler,
    by: (words.get('priority') ?? words.get('weighted')) || undefined,
    seed: numberOf('seed'),
    where: words.get('where'),
    tokens: words.has('tokens') ? { max: numberOf('tokens')!, by: 'length' } : undefined,
    window: windowOf(words),
    group: groupOf(words),
    ids: words.has('ids') ? idsOf(words.get('ids')!) : undefined,
    batch: batchOf(words),
    choose: sampler === 'longest' ? longestFirst : undefined,
    autoAck: words.has('auto'),
    leaseMs: LEASE_MS,
    requestId: '',
  };
}

type Words = ReadonlyMap<string, string>;

/** `window`: no bounds; `fresh[2]`: at most so stale; `since[5]`: that version or later; `skip`: passes the others. */
function windowOf(words: Words): ClaimCommand['window'] {
  if (!['window', 'fresh', 'since'].some((word) => words.has(word))) return undefined;
  return {
    by: 'version',
    minVersion: words.has('since') ? Number(words.get('since')) : undefined,
    maxStaleness: words.has('fresh') ? Number(words.get('fresh')) : undefined,
    onStale: words.has('skip') ? 'skip' : 'keep',
  };
}

/** `survivors[3 50]`: three are enough after 50 ms; `of`: by the number of that name. */
function groupOf(words: Words): ClaimCommand['group'] {
  if (!words.has('survivors') && !words.has('of')) return undefined;
  const [survivorsMin, waitMs = 0] = words.has('survivors') ? words.get('survivors')!.split(' ').map(Number) : [];
  return { by: words.has('of') ? 'of' : undefined, survivorsMin, waitMs };
}

/** `batch[7 1/2 length]`: part 1 of 2 of number 7, balanced by length. */
function batchOf(words: Words): ClaimCommand['batch'] {
  const text = words.get('batch');
  if (text === undefined) return undefined;
  const [, number, part, parts, balanceBy] = /^(\d+) (\d+)\/(\d+)(?: (\w+))?$/.exec(text)!;
  return { name: 'b', number: Number(number), part: Number(part), parts: Number(parts), balanceBy };
}

/** A module's sampler; fails at a row of length 13, and repeats itself at one of length 14. */
function longestFirst({
  ids,
  numbers,
  rowsMax,
}: Parameters<NonNullable<ClaimCommand['choose']>>[0]): number[] | undefined {
  const lengths = numbers('length');
  if (lengths.includes(13)) return undefined;
  if (lengths.includes(14)) return [0, 0];
  return Array.from(ids, (_, place) => place)
    .sort((a, b) => lengths[b] - lengths[a])
    .slice(0, rowsMax);
}

/** `0-3,8` */
function idsOf(text: string): Float64Array {
  const ids = text.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return Float64Array.from(ids);
}

function fieldsOf(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0) - 'a'.charCodeAt(0));
}
