/**
 * What live claims granted: the cells as they were then, whatever is put over them later. A retry of a claim gets the
 * same bytes, also after a restart.
 *
 *   record   key u64 claim    u32 lease in ms | nums row ids | u16 attempt of each row
 *                             nums batch numbers | u32 columns, for each: u16 field | by row: u32 batch, u32 ordinal
 *            where `batch` is a place in the list of batches
 */
import { numberKey, readNumber } from '../index/keys.ts';
import type { Records, SavedRecord } from '../index/records.ts';
import { ByteReader, ByteWriter } from '../journal/bytes.ts';
import { relocated, type Located } from '../store/locate.ts';
import { isSaved, type Partition } from '../store/partition.ts';
import type { Store } from '../store/store.ts';

export interface Grant {
  readonly claim: number;
  readonly partition: Partition;
  readonly attempts: Uint16Array;
  readonly leaseMs: number;
  readonly located: Promise<Located>;
  /** Ends with the process: nothing of it is saved. */
  readonly volatile: boolean;
  /** Of grants of this run: whether they have fewer rows than were asked for, and when they are as safe as promised. */
  made?: { readonly isPartial: boolean; readonly commit: Promise<unknown> };
}

const out = new ByteWriter();

/** A grant of a replay, whose rows stay as they are until `locateLate`. */
export interface LateGrant extends Omit<Grant, 'located' | 'made'> {
  readonly locate: () => Promise<Located>;
}

export class Grants {
  readonly #grants = new Map<number, Grant>();
  readonly #dirty = new Set<Grant>();
  /**
   * Grants of a replay, by partition and claim. Most end before the replay does: until then, or until their rows are
   * about to change, they are nowhere else, and their cells are not looked up.
   */
  readonly #late = new Map<number, Map<number, LateGrant>>();
  /** Claims that ended and have a record. */
  readonly #gone = new Map<number, Partition>();
  readonly #saved = new Set<number>();

  get dirtyCount(): number {
    return this.#dirty.size + this.#gone.size;
  }

  all(): Iterable<Grant> {
    return this.#grants.values();
  }

  get(claim: number): Grant | undefined {
    return this.#grants.get(claim);
  }

  add(grant: Grant): void {
    this.#grants.set(grant.claim, grant);
    if (!grant.volatile && isSaved(grant.partition)) this.#dirty.add(grant);
  }

  addLate(grant: LateGrant): void {
    const { partition, claim } = grant;
    const late = this.#late.get(partition.id);
    if (late === undefined) this.#late.set(partition.id, new Map([[claim, grant]]));
    else late.set(claim, grant);
  }

  /** Puts of rows of a partition are about to change what these show: what was granted is looked up before. */
  locateLate(partition: number): void {
    const late = this.#late.get(partition);
    if (late === undefined) return;
    this.#late.delete(partition);
    for (const { locate, ...granted } of late.values()) {
      const located = locate();
      // Whoever asks for the rows sees the failure.
      located.catch(() => undefined);
      this.add({ ...granted, located });
    }
  }

  locateAllLate(): void {
    for (const partition of [...this.#late.keys()]) this.locateLate(partition);
  }

  /** Nobody will ask for its rows again. */
  end(partition: number, claim: number): void {
    if (this.#late.get(partition)?.delete(claim) === true) return;
    const grant = this.#grants.get(claim);
    if (grant === undefined) return;
    this.#grants.delete(claim);
    this.#dirty.delete(grant);
    if (this.#saved.delete(claim)) this.#gone.set(claim, grant.partition);
    // A lookup that failed holds nothing; whoever waits for the grant sees the failure.
    grant.located.then(
      (located) => located.close(),
      () => undefined,
    );
  }

  /**
   * Takes what changed out of the books: removals are written at once; grants are returned with their cells, which may
   * still be on their way. What was granted never changes, so that it may be written later than now.
   */
  takeDirty(records: Records, lsn: number): (() => Promise<UnsavedGrant | null>)[] {
    for (const [claim, partition] of this.#gone) {
      if (partition.dropped) continue;
      records.write({ partition: partition.id, kind: 'grant', key: numberKey(claim), value: null }, lsn);
    }
    this.#gone.clear();
    const taken = [...this.#dirty];
    this.#dirty.clear();
    for (const grant of taken) this.#saved.add(grant.claim);
    return taken.map((grant) => async () => {
      const located = await grant.located.catch(() => null);
      if (located === null) return null;
      return { partition: grant.partition, claim: grant.claim, value: encode(grant, located) };
    });
  }

  load(store: Store, record: SavedRecord): void {
    const partition = store.partitionById(record.partition)!;
    const claim = readNumber(record.key, 0);
    this.#grants.set(claim, { claim, partition, volatile: false, ...decode(store, partition, record.value) });
    this.#saved.add(claim);
  }
}

export interface UnsavedGrant {
  readonly partition: Partition;
  readonly claim: number;
  readonly value: Uint8Array;
}

function encode(grant: Grant, located: Located): Uint8Array {
  out.reset();
  out.u32(grant.leaseMs);
  out.numbers(located.ids);
  for (const attempt of grant.attempts) out.u16(attempt);
  out.numbers(located.batches.map((batch) => batch.number));
  out.u32(located.columns.length);
  for (const { field, batches, ordinals } of located.columns) {
    out.u16(field.id);
    for (let row = 0; row < ordinals.length; row++) {
      out.u32(batches[row]);
      out.u32(ordinals[row]);
    }
  }
  return out.view().slice();
}

function decode(
  store: Store,
  partition: Partition,
  value: Uint8Array,
): Pick<Grant, 'attempts' | 'leaseMs' | 'located'> {
  const source = new ByteReader(Buffer.from(value));
  const leaseMs = source.u32();
  const ids = source.numbers();
  const attempts = Uint16Array.from(ids, () => source.u16());
  const batches = Array.from(source.numbers(), (number) => store.batch(number));
  const columns = Array.from({ length: source.u32() }, () => {
    const field = partition.fields[source.u16()];
    const column = { field, batches: new Int32Array(ids.length), ordinals: new Uint32Array(ids.length) };
    for (let row = 0; row < ids.length; row++) {
      column.batches[row] = source.u32();
      column.ordinals[row] = source.u32();
    }
    return column;
  });
  return { leaseMs, attempts, located: Promise.resolve(relocated(store, { ids, columns, batches })) };
}
