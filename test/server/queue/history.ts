/**
 * What clients were told, and the seven invariants of claims over it. Knows neither the queue nor the model.
 *
 *   I1 at most one effective ack per task and row      I5 a grant shows complete rows, and whole groups if asked for
 *   I2 claims rise; live leases do not overlap         I6 an ack is effective iff its claim is the current one
 *   I3 no grant after an effective ack                 I7 the same ack again gets the same answer and does nothing
 *   I4 every complete row is granted in the end
 *
 * A row that came back as often as its task allows is dead: it is not granted, and not waited for, until it is queued
 * anew (D). What a task skipped counts as acked; a task that is reset begins anew, and its claims are void.
 *
 * An answer enters when it is committed; what a crash cut off was never told to anybody. A row that was deleted and put
 * again is another row: rows are named by id and incarnation.
 */
import type { ClaimEvent, QueueSettings } from '../../../server/queue/machine.ts';

export type Told =
  | { readonly kind: 'put'; readonly ids: readonly number[]; readonly fields: readonly number[] }
  | { readonly kind: 'remove'; readonly ids: readonly number[] }
  | { readonly kind: 'grant'; readonly event: ClaimEvent; readonly groupSize: number; readonly at: number }
  | { readonly kind: 'drained'; readonly task: string }
  | { readonly kind: 'ack' | 'release' | 'undelivered'; readonly claim: number; readonly answer: string }
  | { readonly kind: 'expired'; readonly claim: number }
  | { readonly kind: 'declare'; readonly settings: QueueSettings }
  | { readonly kind: 'requeue' | 'skip'; readonly task: string; readonly ids: readonly number[]; readonly rows: number }
  | { readonly kind: 'reset'; readonly task: string }
  | { readonly kind: 'renew'; readonly claim: number; readonly untilMs: number };

export class Violation extends Error {}

interface Granted {
  readonly event: ClaimEvent;
  /** Names of its rows: "id#incarnation". */
  readonly names: readonly string[];
  untilMs: number;
  expired: boolean;
  released: boolean;
  acked: boolean;
}

/** The latest claim of a row by a task, how many attempts it had, and how it stands. */
interface Standing {
  claim: number;
  grants: number;
  acked: boolean;
  dead: boolean;
}

export class History {
  readonly #fields = new Map<number, Set<number>>();
  readonly #incarnations = new Map<number, number>();
  readonly #claims = new Map<number, Granted>();
  /** By "task id#incarnation". */
  readonly #standing = new Map<string, Standing>();
  #settings: QueueSettings = {};

  tell(told: Told): void {
    if (told.kind === 'put') this.#put(told.ids, told.fields);
    if (told.kind === 'remove') for (const id of told.ids) this.#fields.delete(id);
    if (told.kind === 'grant') this.#grant(told.event, told.groupSize, told.at);
    if (told.kind === 'drained') this.#expectConsumed(told.task, [], true);
    if (told.kind === 'ack') this.#ack(told.claim, told.answer);
    if (told.kind === 'release' && told.answer === 'ok') this.#return(told.claim, 'released');
    if (told.kind === 'undelivered' && told.answer === 'ok') this.#return(told.claim, 'undelivered');
    if (told.kind === 'expired') this.#return(told.claim, 'expired');
    if (told.kind === 'renew') this.#claims.get(told.claim)!.untilMs = told.untilMs;
    if (told.kind === 'declare') this.#settings = told.settings;
    if (told.kind === 'requeue') this.#requeue(told.task, told.ids, told.rows);
    if (told.kind === 'skip') this.#skip(told.task, told.ids, told.rows);
    if (told.kind === 'reset') this.#reset(told.task);
  }

  /** Every row with these fields was consumed by the task. */
  expectConsumed(task: string, fields: readonly number[]): void {
    this.#expectConsumed(task, fields, false);
  }

  #expectConsumed(task: string, fields: readonly number[], orDead: boolean): void {
    for (const [id, has] of this.#fields) {
      if (!fields.every((field) => has.has(field))) continue;
      const standing = this.#standing.get(`${task} ${this.#name(id)}`);
      const isOver = standing?.acked === true || (orDead && standing?.dead === true);
      expect(isOver, `I4: row ${id} never came to task ${task}`);
    }
  }

  /** The rows of a claim came back to its task, unless they were granted again since. */
  #return(number: number, how: 'released' | 'expired' | 'undelivered'): void {
    const claim = this.#claims.get(number)!;
    const { task } = claim.event;
    const wasLeased = !claim.expired;
    if (how === 'expired') claim.expired = true;
    else claim.released = true;
    if (!wasLeased) return;
    const attemptsMax = this.#settings.tasks?.find(({ name }) => name === task)?.maxAttempts ?? Infinity;
    for (const name of claim.names) {
      const standing = this.#standing.get(`${task} ${name}`);
      if (standing?.claim !== number) continue;
      if (how === 'undelivered') standing.grants -= 1;
      else standing.dead = standing.grants >= attemptsMax;
    }
  }

  #requeue(task: string, ids: readonly number[], rows: number): void {
    const dead = this.#existing(task, ids).filter((standing) => standing.dead);
    expect(rows === dead.length, `D: ${rows} rows were queued anew, not ${dead.length}`);
    for (const standing of dead) Object.assign(standing, { dead: false, grants: 0 });
  }

  #skip(task: string, ids: readonly number[], rows: number): void {
    const unclaimed = this.#existing(task, ids).filter(({ claim: number, acked, dead }) => {
      const claim = this.#claims.get(number);
      const isFree = claim === undefined || claim.released || claim.expired;
      return isFree && !acked && !dead;
    });
    expect(rows === unclaimed.length, `D: ${rows} rows were skipped, not ${unclaimed.length}`);
    // No claim is the current one any more.
    for (const standing of unclaimed) Object.assign(standing, { acked: true, claim: Infinity });
  }

  #reset(task: string): void {
    for (const key of this.#standing.keys()) if (key.startsWith(`${task} `)) this.#standing.delete(key);
    for (const claim of this.#claims.values()) if (claim.event.task === task) claim.released = true;
  }

  /** How those of the rows that are there stand with the task. */
  #existing(task: string, ids: readonly number[]): Standing[] {
    const there = ids.filter((id) => this.#fields.has(id));
    return there.map((id) => this.#standingOf(`${task} ${this.#name(id)}`));
  }

  #standingOf(key: string): Standing {
    let standing = this.#standing.get(key);
    if (standing === undefined)
      this.#standing.set(key, (standing = { claim: 0, grants: 0, acked: false, dead: false }));
    return standing;
  }

  #put(ids: readonly number[], fields: readonly number[]): void {
    for (const id of ids) {
      if (!this.#fields.has(id)) {
        this.#fields.set(id, new Set());
        this.#incarnations.set(id, (this.#incarnations.get(id) ?? 0) + 1);
      }
      for (const field of fields) this.#fields.get(id)!.add(field);
    }
  }

  #grant(event: ClaimEvent, groupSize: number, at: number): void {
    const names = Array.from(event.ids, (id) => this.#name(id));
    event.ids.forEach((id, i) => {
      const has = this.#fields.get(id);
      expect(
        event.fields.every((field) => has?.has(field)),
        `I5: row ${id} was granted before it was complete`,
      );
      const before = this.#standingOf(`${event.task} ${names[i]}`);
      expect(!before.dead, `D: row ${id} was granted, but it is dead`);
      expect(!before.acked, `I3: row ${id} was granted after its ack`);
      expect(event.claim > before.claim, `I2: claim ${event.claim} of row ${id} is not above ${before.claim}`);
      expect(event.attempts[i] === before.grants + 1, `I2: row ${id} counts ${event.attempts[i]} attempts`);
      const earlier = this.#claims.get(before.claim);
      expect(
        earlier === undefined || earlier.released || earlier.untilMs <= at,
        `I2: row ${id} was granted while claim ${before.claim} was live`,
      );
      Object.assign(before, { claim: event.claim, grants: before.grants + 1, acked: event.autoAck });
    });
    const ids = new Set(event.ids);
    for (const id of ids) {
      const first = id - (id % groupSize);
      for (let k = 0; k < groupSize; k += 1) expect(ids.has(first + k), `I5: group of row ${id} was granted in part`);
    }
    const untilMs = at + event.leaseMs;
    const granted = { event, names, untilMs, expired: false, released: false, acked: event.autoAck };
    this.#claims.set(event.claim, granted);
  }

  #ack(number: number, answer: string): void {
    const claim = this.#claims.get(number);
    if (claim === undefined) return;
    const { task } = claim.event;
    const lost = claim.names.some((name, i) => {
      const replaced = this.#name(claim.event.ids[i]) !== name;
      return replaced || this.#standing.get(`${task} ${name}`)?.claim !== number;
    });
    if (claim.acked) {
      expect(answer === 'already', `I7: the second ack of claim ${number} got ${answer}`);
      return;
    }
    const right = lost || claim.released ? 'claim_stale' : 'ok';
    expect(answer === right, `I6: the ack of claim ${number} got ${answer}, not ${right}`);
    if (answer !== 'ok') return;
    claim.acked = true;
    for (const name of claim.names) {
      const standing = this.#standing.get(`${task} ${name}`)!;
      expect(!standing.acked, `I1: row ${name} was acked twice by ${task}`);
      standing.acked = true;
      standing.dead = false;
    }
  }

  #name(id: number): string {
    return `${id}#${this.#incarnations.get(id) ?? 0}`;
  }
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Violation(message);
}
