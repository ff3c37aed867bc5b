/**
 * What the clients of a simulated node do, chosen by a seed: puts of all ack levels, overwrites, deletes, claims with
 * their ends, seals, drops, checkpoints, and time that passes; several at once.
 *
 * Every act is noted before it is sent and when its answer came.
 */
import type { AckLevel } from '@transfer-queue/core/protocol';
import { endClaim } from '../../server/engine/claims.ts';
import type { Node } from '../../server/engine/node.ts';
import { deleteRows, drop, seal } from '../../server/engine/partitions.ts';
import { StoreError } from '../../server/errors.ts';
import { claimOf, declareTest, putText } from '../support/node.ts';
import type { SimEnv } from '../support/sim_env.ts';
import { cellOf, newNote, type Note } from './history.ts';
import { patiently, WAIT_MS } from './patience.ts';

/** Names and ack levels; some puts to `both` ask for more. */
export const PARTITIONS = { disk: 'disk', both: 'os', memory: 'memory' } as const satisfies Record<string, AckLevel>;
export const FIELDS = ['a', 'b'] as const;
export const TASK = 'task';
export const LEASE_MS = 3_000;

type Name = keyof typeof PARTITIONS;

const NAMES = Object.keys(PARTITIONS) as Name[];
/** Most acts concern what lasts. */
const NAMES_DRAWN: readonly Name[] = ['disk', 'disk', 'disk', 'both', 'both', 'both', 'both', 'memory'];
const LAYOUTS = new Map(FIELDS.map((name) => [name, { layout: 'bytes' } as const]));
/** What passes: syncs, leases, and the period of surveys. */
const TIMES_MS = [1_001, 1_001, 1_001, 1_001, LEASE_MS, LEASE_MS, 15_000];
const IDS = [0, 1, 2, 3, 4, 5, 6, 7];
/** Claims that may be ended. */
const LIVE_CLAIMS_MAX = 8;

/** What a put's values weigh: mostly little, now and then more than a segment. */
function valueSize(random: () => number): number {
  const chance = random();
  if (chance < 0.04) return 8_000;
  return Math.floor(random() * (chance < 0.6 ? 60 : 500));
}

export interface WorkloadOptions {
  readonly env: SimEnv;
  readonly node: Node;
  readonly random: () => number;
  readonly life: number;
  readonly notes: Note[];
}

export class Workload {
  readonly #env: SimEnv;
  readonly #node: Node;
  readonly #random: () => number;
  readonly #life: number;
  readonly #notes: Note[];
  #claims: Note[];
  #versions = 0;

  constructor({ env, node, random, life, notes }: WorkloadOptions) {
    this.#env = env;
    this.#node = node;
    this.#random = random;
    this.#life = life;
    this.#notes = notes;
    const isLive = (note: Note): boolean =>
      note.kind === 'claim' && note.expired === Infinity && !notes.some((one) => one.claim === note);
    this.#claims = notes.filter(isLive);
    for (const claim of this.#claims) claim.deadlineMs = env.clock.nowMs() + LEASE_MS;
  }

  async declareAll(): Promise<void> {
    await Promise.all(NAMES.map((name) => this.#declare(name)));
  }

  /** One act; the promise settles when it was answered, whatever the answer. */
  act(): Promise<void> {
    const choice = this.#random();
    const name = this.#pick(NAMES_DRAWN);
    if (choice < 0.45) return this.#put(name);
    if (choice < 0.5) return this.#delete(name);
    if (choice < 0.68) return this.#claim(name);
    if (choice < 0.84) return this.#endClaim();
    if (choice < 0.86) return this.#drop(name);
    if (choice < 0.87) return this.#seal(name);
    if (choice < 0.93) return this.#passTime(this.#pick(TIMES_MS));
    return this.#random() < 0.2 ? this.#node.makeDurable() : this.#node.checkpoints.run();
  }

  /** Resolves when the act has. */
  ended(act: Promise<unknown>): Promise<unknown> {
    return patiently(act, () => (this.#env.crashes.length > 0 ? null : this.#passTime(WAIT_MS)));
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)];
  }

  #some(): number[] {
    return IDS.filter(() => this.#random() < 0.45);
  }

  #note(given: Pick<Note, 'kind' | 'partition' | 'level'> & Partial<Note>): Note {
    const note = newNote({ ...given, life: this.#life, begun: this.#env.fs.disk.opCount });
    this.#notes.push(note);
    return note;
  }

  /**
   * Waits for the answer. A refusal is certain; any other failure leaves open what happened, as does a crash, and so do
   * bytes that a claim was granted and that cannot be read. `lsnOf` is null for answers that do not tell their LSN.
   */
  async #answered<T>(note: Note, act: () => Promise<T>, lsnOf: ((answer: T) => number) | null): Promise<T | null> {
    const { journal } = this.#node.parts;
    const lsnBefore = journal.lsn;
    try {
      const answer = await act();
      if (this.#env.crashes.length > 0) return null;
      note.lsn = lsnOf?.(answer) ?? journal.lsn;
      note.lsnMin = lsnOf === null ? lsnBefore + 1 : note.lsn;
      note.outcome = 'ok';
      note.ended = note.answered = this.#env.fs.disk.opCount;
      return answer;
    } catch (error) {
      const isRefusal = error instanceof StoreError && error.code !== 'data_corrupt';
      if (isRefusal && this.#env.crashes.length === 0) note.outcome = 'refused';
      return null;
    }
  }

  async #declare(name: Name): Promise<void> {
    const ack = PARTITIONS[name];
    const note = this.#note({ kind: 'declare', partition: name, level: ack === 'disk' ? 'disk' : 'os' });
    await this.#answered(note, () => declareTest(this.#node, name, { ack, fields: LAYOUTS }), null);
  }

  async #put(name: Name, claim: Note | null = null): Promise<void> {
    const ids = claim === null ? this.#some() : claim.ids;
    if (ids.length === 0) return;
    const field = claim === null && this.#random() < 0.65 ? 'a' : 'b';
    const isDisk = name === 'disk' || (name === 'both' && this.#random() < 0.5);
    const size = valueSize(this.#random);
    const values = ids.map((id) => `${this.#life}.${++this.#versions} ${name}/${id}/${field} `.padEnd(size, '.'));
    const note = this.#note({
      kind: 'put',
      partition: name,
      level: isDisk ? 'disk' : PARTITIONS[name],
      cells: new Map(ids.map((id, place) => [cellOf(name, id, field), values[place]])),
      ids,
      requestId: this.#random() < 0.3 ? `put ${this.#life}.${this.#versions}` : '',
      claim,
    });
    const options = { ack: isDisk ? 'disk' : null, requestId: note.requestId, claim: claim?.token ?? null } as const;
    await this.#answered(
      note,
      () => putText(this.#node, name, ids, field, values, options),
      ({ lsn }) => lsn,
    );
  }

  async #delete(name: Name): Promise<void> {
    const ids = this.#some();
    const note = this.#note({ kind: 'delete', partition: name, level: PARTITIONS[name], cells: gone(name, ids), ids });
    const rows = { ids: Float64Array.from(ids), requestId: '' };
    await this.#answered(
      note,
      () => deleteRows(this.#node, name, rows),
      ({ lsn }) => lsn,
    );
  }

  async #claim(name: Name): Promise<void> {
    const autoAck = this.#random() < 0.2;
    // Until the answer comes it may be any rows.
    const note = this.#note({ kind: 'claim', partition: name, level: PARTITIONS[name], ids: IDS, autoAck });
    const deadlineMs = this.#env.clock.nowMs() + LEASE_MS;
    const take = { task: TASK, fields: ['a'], rowsMax: 1 + Math.floor(this.#random() * 3), leaseMs: LEASE_MS, autoAck };
    const outcome = await this.#answered(note, () => claimOf(this.#node, name, take), null);
    if (outcome === null) return;
    if (outcome.kind !== 'claimed') {
      note.outcome = 'refused';
      return;
    }
    note.ids = [...outcome.located.ids];
    note.token = outcome.token;
    note.deadlineMs = deadlineMs;
    outcome.located.close();
    if (autoAck) return;
    this.#claims = [...this.#claims, note].slice(-LIVE_CLAIMS_MAX);
    if (this.#random() < 0.5) await this.#endClaim();
  }

  async #endClaim(): Promise<void> {
    if (this.#claims.length === 0) return;
    const claim = this.#pick(this.#claims);
    this.#claims = this.#claims.filter((one) => one !== claim);
    const choice = this.#random();
    if (choice < 0.3) return this.#put(claim.partition as Name, claim);
    const kind = choice < 0.75 ? 'ack' : 'release';
    const { partition, level, ids, token } = claim;
    const note = this.#note({ kind, partition, level, ids, claim });
    await this.#answered(
      note,
      () => endClaim(this.#node, token, kind, ''),
      (lsn) => lsn,
    );
  }

  /** A drop and the declaration after it. */
  async #drop(name: Name): Promise<void> {
    const level = PARTITIONS[name] === 'disk' ? 'disk' : 'os';
    const note = this.#note({ kind: 'drop', partition: name, level, cells: gone(name, IDS) });
    const dropped = await this.#answered(
      note,
      () => drop(this.#node, name),
      (lsn) => lsn,
    );
    if (dropped !== null) await this.#declare(name);
  }

  async #seal(name: Name): Promise<void> {
    const note = this.#note({ kind: 'seal', partition: name, level: PARTITIONS[name] });
    await this.#answered(
      note,
      () => seal(this.#node, name),
      (lsn) => lsn,
    );
  }

  async #passTime(ms: number): Promise<void> {
    const { clock, fs } = this.#env;
    const at = fs.disk.opCount;
    await clock.advance(ms);
    for (const note of this.#notes) {
      if (note.kind === 'claim' && note.deadlineMs <= clock.nowMs()) note.expired = Math.min(note.expired, at);
    }
  }
}

/** What a node shows of a partition, as notes have it: null where nothing is. */
export function cellsSeen(name: string, shown: ReadonlyMap<string, string>): Map<string, string | null> {
  return new Map([...gone(name, IDS).keys()].map((cell) => [cell, shown.get(cell) ?? null]));
}

function gone(name: string, ids: readonly number[]): Map<string, null> {
  return new Map(ids.flatMap((id) => FIELDS.map((field) => [cellOf(name, id, field), null])));
}
