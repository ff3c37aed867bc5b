/** Partitions: rows in, rows out, rows claimed, and what can be done with all of them. */
import { parseLayout, type FieldLayout } from '@transfer-queue/core/layout';
import type { AckLevel } from '@transfer-queue/core/protocol';
import type { Batch } from './batch.ts';
import { claim, type ClaimOptions, type ClaimResult } from './claim.ts';
import { consume, type ConsumeOptions, type Consumer } from './consume.ts';
import { toIds, type Ids, type PutData } from './encode.ts';
import { clientError } from './errors.ts';
import { camelKeys } from './names.ts';
import type { CallOptions } from './options.ts';
import { put, type PutOptions, type PutResult } from './put.ts';
import {
  idsPerCall,
  readIds,
  readNewest,
  scanRows,
  type NewestOptions,
  type ReadOptions,
  type ScanOptions,
  type Target,
} from './read.ts';
import type { Wire } from './wire.ts';

/** How a partition is declared. */
export interface PartitionSettings {
  /** Field layouts by name. Declared with fields, a partition takes no others; without, the first put declares them. */
  readonly fields?: Readonly<Record<string, FieldLayout>>;
  /** Whether further fields may be declared by puts. Default: true without fields. */
  readonly open?: boolean;
  /** Rows of one prompt: rows with the same floor(id / groupSize) are siblings. Default 1. */
  readonly groupSize?: number;
  /** How far a put must be before it is acknowledged. Default `os`. */
  readonly ack?: AckLevel;
}

/** Where a task stands in a partition. */
export interface TaskStats {
  /** Rows that consumers hold now. */
  readonly leased: number;
  readonly consumed: number;
  /** Claims that are held now. */
  readonly claims: number;
}

/** What a server knows of a partition; with several nodes, the sums over them. */
export interface PartitionStats {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldLayout>>;
  readonly groupSize: number;
  readonly ack: AckLevel;
  readonly open: boolean;
  readonly sealed: boolean;
  readonly rows: number;
  readonly bytes: number;
  /** The LSN of the last change. */
  readonly lsn: number;
  /** Rows that have the field, per field. */
  readonly fieldRows: Readonly<Record<string, number>>;
  readonly tasks: Readonly<Record<string, TaskStats>>;
}

export interface DeleteResult {
  readonly lsn: number;
  /** Rows that were there. */
  readonly deleted: number;
}

/**
 * A named set of rows. A handle costs nothing and holds no connection; make it with `client.partition(name)`.
 *
 * @example
 * ```ts
 * const train = await tq.partition('train', { fields: { prompt: text(), reward: scalar('float32') }, groupSize: 8 });
 * await train.put({ prompt: ['1 + 1 =', '2 + 2 ='] }, { ids: [0, 1] });
 * await train.put({ reward: Float32Array.of(1, 0) }, { ids: [0, 1] });
 * const batch = await train.get([1, 0], { fields: ['prompt', 'reward'] });
 * batch.column('prompt').row(0); // '2 + 2 ='
 * ```
 */
export class Partition {
  readonly name: string;
  readonly #wire: Wire;
  readonly #target: Target;
  #known: PartitionStats | undefined;

  /** @internal Use `client.partition(name)`. */
  constructor(wire: Wire, name: string) {
    this.name = name;
    this.#wire = wire;
    this.#target = { wire, partition: name, groupSize: (signal) => this.#groupSize(signal) };
  }

  /**
   * Puts rows: cells of some fields. Rows get their fields by as many puts as you like, in any order; a cell that is
   * there already is overwritten. All of a part or nothing is put; a call within the limits is one part.
   *
   * `data` is a table or record batch of `apache-arrow` (dictionary columns are decoded), an Arrow IPC stream, a
   * `Batch`, or cells by field name: typed arrays, arrays of them, nested arrays, strings, JSON values, as the layout
   * says.
   *
   * Throws FixRequestError (`field_mismatch`, `index_id_invalid`, `rows_exist`), GiveUpError (`partition_sealed`,
   * `claim_stale`), WaitForOthersError (`disk_full`, `memory_full`).
   *
   * @example
   * ```ts
   * await train.put(tableFromArrays({ index_id: [7, 8], prompt: ['a', 'b'] }));
   * await train.put({ advantage: [[0.5, -0.5], []] }, { ids: [7, 8], ifAbsent: true });
   * ```
   */
  put(data: PutData, options: PutOptions = {}): Promise<PutResult> {
    return put(this.#target, data, options, (names) => this.#layoutsOf(names, options.signal));
  }

  /**
   * Reads rows by id, in the order asked. With `waitMs`, waits until all of them have all the fields. With `lsn`, reads
   * the state that a snapshot holds.
   *
   * Throws WaitForOthersError (`rows_missing`, `timed_out`), GiveUpError (`drained`: the partition is sealed and
   * lacks some of the ids; `lsn_unknown`), FixRequestError (`field_unknown`).
   */
  get(ids: Ids, options: ReadOptions = {}): Promise<Batch> {
    return readIds(this.#target, ids, options);
  }

  /**
   * Reads the row that was put last, of those that have the fields: one row. With `waitMs`, waits for one newer than
   * `afterLsn`. Throws as `get`.
   *
   * @example
   * ```ts
   * const weights = await policy.newest({ fields: ['weights'], afterLsn: last.lsn, waitMs: 60_000 });
   * ```
   */
  newest(options: NewestOptions = {}): Promise<Batch> {
    return readNewest(this.#target, options);
  }

  /**
   * Reads all rows of a range of ids that have the fields, batch by batch; ids rise, with several nodes on each. Each
   * batch is the state of its moment; with `lsn` all are that of one snapshot.
   */
  scan(options: ScanOptions = {}): AsyncGenerator<Batch, void, undefined> {
    return scanRows(this.#target, options);
  }

  /** Takes ready rows for a task under a lease, with their data. The result says which of three ends it came to. */
  claim(options: ClaimOptions): Promise<ClaimResult> {
    return claim(this.#wire, this.name, options);
  }

  /**
   * Claims batch after batch until the partition is sealed and the task has consumed all of it. The lease of the
   * batch at hand renews itself, for up to `holdMaxMs`. A batch that is not acked when the next one is asked for, or
   * when the loop is left, is released. Throws the reason of `signal`, WaitForOthersError (`timed_out`) when `waitMs`
   * ends.
   *
   * @example
   * ```ts
   * for await (const batch of train.consume({ task: 'look', fields: ['prompt', 'reward'], batchSize: 2 })) {
   *   console.log(batch.ids, batch.column('reward').values);
   *   await batch.ack();
   * }
   * ```
   */
  consume(options: ConsumeOptions): Consumer {
    return consume((claimOptions) => this.claim(claimOptions), options);
  }

  /** Deletes rows; ids that are not there are passed over. */
  async delete(ids: Ids, { signal }: CallOptions = {}): Promise<DeleteResult> {
    const wire = this.#wire;
    const all = toIds(ids);
    const rowsMax = idsPerCall(await wire.limits(signal), undefined);
    const deleteShare = async (url: string, positions: Uint32Array): Promise<DeleteResult[]> => {
      const results: DeleteResult[] = [];
      for (let at = 0; at < positions.length; at += rowsMax) {
        const json = { ids: Array.from(positions.subarray(at, at + rowsMax), (position) => all[position]) };
        results.push(
          (await wire.sendForJson({
            url,
            route: 'delete',
            names: this.#names,
            json,
            signal,
          })) as unknown as DeleteResult,
        );
      }
      return results;
    };
    const shares = await wire.eachShare(
      { ids: all, groupSize: this.#target.groupSize, signal },
      ({ node, positions }) => deleteShare(node.url, positions),
    );
    const results = shares.flat();
    return {
      lsn: Math.max(0, ...results.map(({ lsn }) => lsn)),
      deleted: results.reduce((sum, { deleted }) => sum + deleted, 0),
    };
  }

  /** Says that no more rows come; rows that are there may still get fields. Consumers then end. Returns the LSN. */
  async seal({ signal }: CallOptions = {}): Promise<number> {
    return highestLsn(await this.#wire.sendToAll({ route: 'seal', names: this.#names, signal }));
  }

  /** Drops the partition with all its rows and claims. Returns the LSN. */
  async drop({ signal }: CallOptions = {}): Promise<number> {
    this.#known = undefined;
    return highestLsn(await this.#wire.sendToAll({ route: 'drop', names: this.#names, signal }));
  }

  /** What the server knows of the partition: fields, settings, rows, bytes, tasks. */
  async stats({ signal }: CallOptions = {}): Promise<PartitionStats> {
    const answers = await this.#wire.sendToAll({ route: 'partition', names: this.#names, signal });
    this.#known = sumStats(answers.map(parseStats));
    return this.#known;
  }

  /** @internal What a server has said of the partition. */
  learn(stats: PartitionStats): void {
    this.#known = stats;
  }

  get #names(): { partition: string } {
    return { partition: this.name };
  }

  async #groupSize(signal: AbortSignal | undefined): Promise<number> {
    return (this.#known ?? (await this.stats({ signal }))).groupSize;
  }

  /** The layouts as last heard; asked for again when one of the names is new, since others may have declared it. */
  async #layoutsOf(names: readonly string[], signal: AbortSignal | undefined): Promise<PartitionStats['fields']> {
    if (names.length === 0) return {};
    const known = this.#known?.fields;
    if (known !== undefined && names.every((name) => Object.hasOwn(known, name))) return known;
    return (await this.stats({ signal })).fields;
  }
}

function highestLsn(answers: readonly Readonly<Record<string, unknown>>[]): number {
  return Math.max(...answers.map(({ lsn }) => Number(lsn)));
}

/** Reads the JSON of a partition. */
export function parseStats(json: Readonly<Record<string, unknown>>): PartitionStats {
  const stats = camelKeys(json) as unknown as PartitionStats;
  const fields: Record<string, FieldLayout> = {};
  for (const [field, value] of Object.entries(stats.fields ?? {})) {
    const layout = parseLayout(value);
    if (typeof layout === 'string')
      throw clientError('answer_invalid', `The layout of field ${field} is not understood: ${layout}.`);
    fields[field] = layout;
  }
  return { ...stats, fields };
}

/** One partition over all nodes. */
export function sumStats(nodes: readonly PartitionStats[]): PartitionStats {
  return nodes.reduce((sum, stats) => ({
    ...sum,
    fields: { ...sum.fields, ...stats.fields },
    sealed: sum.sealed && stats.sealed,
    rows: sum.rows + stats.rows,
    bytes: sum.bytes + stats.bytes,
    lsn: Math.max(sum.lsn, stats.lsn),
    fieldRows: mergeWith(sum.fieldRows, stats.fieldRows, (a, b) => a + b),
    tasks: mergeWith(sum.tasks, stats.tasks, (a, b) => ({
      leased: a.leased + b.leased,
      consumed: a.consumed + b.consumed,
      claims: a.claims + b.claims,
    })),
  }));
}

function mergeWith<T>(
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
  merge: (a: T, b: T) => T,
): Record<string, T> {
  const merged: Record<string, T> = { ...a };
  for (const [key, value] of Object.entries(b)) merged[key] = Object.hasOwn(a, key) ? merge(a[key], value) : value;
  return merged;
}
