/**
 * What became of recent requests, by the id that their caller gave them: a retry gets the same answer and acts once.
 *
 *   record   key u64 number of the request      text request id | u8 kind | num partition | num LSN or claim | num rows
 *
 * Invariants: an entry is made by `apply`, live and in replay alike; beyond `limits.requestIdsKept` the oldest go.
 */
import { limits } from '@transfer-queue/core/protocol';
import { numberKey, readNumber } from '../index/keys.ts';
import type { Records, SavedRecord } from '../index/records.ts';
import { ByteReader, ByteWriter, FormatError } from '../journal/bytes.ts';

export type RequestOutcome =
  | {
      readonly kind: 'put' | 'delete' | 'tag' | 'reset';
      readonly partition: number;
      readonly lsn: number;
      readonly rows: number;
      readonly commit: Promise<unknown>;
    }
  | { readonly kind: 'claim'; readonly partition: number; readonly claim: number; readonly commit: Promise<unknown> };

interface Entry {
  readonly requestId: string;
  /** Rises from request to request. */
  readonly number: number;
  readonly outcome: RequestOutcome;
  /** Of a partition whose rows vanish with the process, and so does this. */
  readonly volatile: boolean;
}

const kinds = ['put', 'delete', 'claim', 'tag', 'reset'] as const;
const out = new ByteWriter();

export class RequestTable {
  readonly #entries = new Map<string, Entry>();
  #numberNext = 1;
  readonly #dirty = new Set<Entry>();
  /** Numbers of entries that have a record and are forgotten. */
  readonly #gone = new Set<number>();

  get dirtyCount(): number {
    return this.#dirty.size + this.#gone.size;
  }

  /** Oldest first. */
  all(): Iterable<{ readonly requestId: string; readonly outcome: RequestOutcome }> {
    return [...this.#entries.values()].filter((entry) => !entry.volatile);
  }

  get(requestId: string): RequestOutcome | undefined {
    return this.#entries.get(requestId)?.outcome;
  }

  /** Requests without an id are not remembered. */
  set(requestId: string, outcome: RequestOutcome, volatile: boolean): void {
    if (requestId === '') return;
    this.#add({ requestId, number: this.#numberNext++, outcome, volatile }, true);
  }

  /** Writes up to `unitsMax` of what changed; returns how many it wrote. */
  saveDirty(records: Records, { unitsMax, lsn }: { unitsMax: number; lsn: number }): number {
    let count = 0;
    for (const entry of this.#dirty) {
      if (count === unitsMax) return count;
      this.#dirty.delete(entry);
      records.write({ partition: 0, kind: 'request', key: numberKey(entry.number), value: encode(entry) }, lsn);
      count++;
    }
    for (const number of this.#gone) {
      if (count === unitsMax) return count;
      this.#gone.delete(number);
      records.write({ partition: 0, kind: 'request', key: numberKey(number), value: null }, lsn);
      count++;
    }
    return count;
  }

  /** Takes in one record; they come in the order of their numbers. */
  load(record: SavedRecord): void {
    const number = readNumber(record.key, 0);
    this.#add({ number, volatile: false, ...decode(record.value) }, false);
    this.#numberNext = number + 1;
  }

  #add(entry: Entry, dirty: boolean): void {
    const before = this.#entries.get(entry.requestId);
    if (before !== undefined) this.#forget(before);
    this.#entries.set(entry.requestId, entry);
    if (dirty && !entry.volatile) this.#dirty.add(entry);
    if (this.#entries.size <= limits.requestIdsKept) return;
    const [oldest] = this.#entries.values();
    this.#forget(oldest);
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.requestId);
    if (!entry.volatile && !this.#dirty.delete(entry)) this.#gone.add(entry.number);
  }
}

function encode({ requestId, outcome }: Entry): Uint8Array {
  out.reset();
  out.text(requestId);
  out.u8(kinds.indexOf(outcome.kind));
  out.number(outcome.partition);
  out.number(outcome.kind === 'claim' ? outcome.claim : outcome.lsn);
  out.number(outcome.kind === 'claim' ? 0 : outcome.rows);
  return out.view().slice();
}

function decode(value: Uint8Array): Pick<Entry, 'requestId' | 'outcome'> {
  const source = new ByteReader(Buffer.from(value));
  const requestId = source.text();
  const kind = kinds[source.u8()];
  if (kind === undefined) throw new FormatError('a request of an unknown kind');
  const partition = source.number();
  const number = source.number();
  const rows = source.number();
  const commit = Promise.resolve();
  if (kind === 'claim') return { requestId, outcome: { kind, partition, claim: number, commit } };
  return { requestId, outcome: { kind, partition, lsn: number, rows, commit } };
}
