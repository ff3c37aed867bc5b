/**
 * What clients were told, and the seven invariants of claims over it. Knows neither the queue nor the model.
 *
 *   I1 at most one effective ack per task and row      I5 a grant shows complete rows, and whole groups if asked for
 *   I2 claims rise; live leases do not overlap         I6 an ack is effective iff its claim is the current one
 *   I3 no grant after an effective ack                 I7 the same ack again gets the same answer and does nothing
 *   I4 every complete row is granted in the end
 *
 * An answer enters when it is committed; what a crash cut off was never told to anybody. A row that was deleted and put
 * again is another row: rows are named by id and incarnation.
 */
import type { ClaimEvent } from '../../../server/queue/machine.ts';

export type Told =
  | { readonly kind: 'put'; readonly ids: readonly number[]; readonly fields: readonly number[] }
  | { readonly kind: 'remove'; readonly ids: readonly number[] }
  | { readonly kind: 'grant'; readonly event: ClaimEvent; readonly groupSize: number; readonly at: number }
  | { readonly kind: 'drained'; readonly task: string }
  | { readonly kind: 'ack' | 'release'; readonly claim: number; readonly answer: string }
  | { readonly kind: 'renew'; readonly claim: number; readonly untilMs: number };

export class Violation extends Error {}

interface Granted {
  readonly event: ClaimEvent;
  /** Names of its rows: "id#incarnation". */
  readonly names: readonly string[];
  untilMs: number;
  released: boolean;
  acked: boolean;
}

export class History {
  readonly #fields = new Map<number, Set<number>>();
  readonly #incarnations = new Map<number, number>();
  readonly #claims = new Map<number, Granted>();
  /** By "task id#incarnation": the latest claim, how many there were, and whether one was acked. */
  readonly #standing = new Map<string, { claim: number; grants: number; acked: boolean }>();

  tell(told: Told): void {
    if (told.kind === 'put') this.#put(told.ids, told.fields);
    if (told.kind === 'remove') for (const id of told.ids) this.#fields.delete(id);
    if (told.kind === 'grant') this.#grant(told.event, told.groupSize, told.at);
    if (told.kind === 'drained') this.expectConsumed(told.task, []);
    if (told.kind === 'ack') this.#ack(told.claim, told.answer);
    if (told.kind === 'release' && told.answer === 'ok') this.#claims.get(told.claim)!.released = true;
    if (told.kind === 'renew') this.#claims.get(told.claim)!.untilMs = told.untilMs;
  }

  /** Every row with these fields was consumed by the task. */
  expectConsumed(task: string, fields: readonly number[]): void {
    for (const [id, has] of this.#fields) {
      if (!fields.every((field) => has.has(field))) continue;
      const acked = this.#standing.get(`${task} ${this.#name(id)}`)?.acked === true;
      expect(acked, `I4: row ${id} never came to task ${task}`);
    }
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
      const key = `${event.task} ${names[i]}`;
      const before = this.#standing.get(key) ?? { claim: 0, grants: 0, acked: false };
      expect(!before.acked, `I3: row ${id} was granted after its ack`);
      expect(event.claim > before.claim, `I2: claim ${event.claim} of row ${id} is not above ${before.claim}`);
      expect(event.attempts[i] === before.grants + 1, `I2: row ${id} counts ${event.attempts[i]} attempts`);
      const earlier = this.#claims.get(before.claim);
      expect(
        earlier === undefined || earlier.released || earlier.untilMs <= at,
        `I2: row ${id} was granted while claim ${before.claim} was live`,
      );
      this.#standing.set(key, { claim: event.claim, grants: before.grants + 1, acked: event.autoAck });
    });
    const ids = new Set(event.ids);
    for (const id of ids) {
      const first = id - (id % groupSize);
      for (let k = 0; k < groupSize; k += 1) expect(ids.has(first + k), `I5: group of row ${id} was granted in part`);
    }
    const untilMs = at + event.leaseMs;
    this.#claims.set(event.claim, { event, names, untilMs, released: false, acked: event.autoAck });
  }

  #ack(number: number, answer: string): void {
    const claim = this.#claims.get(number);
    if (claim === undefined) return;
    const { task } = claim.event;
    const lost = claim.names.some((name, i) => {
      const replaced = this.#name(claim.event.ids[i]) !== name;
      return replaced || this.#standing.get(`${task} ${name}`)!.claim !== number;
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
    }
  }

  #name(id: number): string {
    return `${id}#${this.#incarnations.get(id) ?? 0}`;
  }
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new Violation(message);
}
