/** The rows of a partition: put, read, delete, tag, list, and by key. */
import type { Batch } from './batch.ts';
import type { MatrixInput } from './cells.ts';
import type { Cell, Matrix } from './column.ts';
import type { Ids, PutData } from './encode.ts';
import {
  keyedIds,
  kvBatchGet,
  kvBatchPut,
  kvGet,
  kvList,
  kvPut,
  type KvBatchGetOptions,
  type KvBatchPutOptions,
  type KvGetOptions,
  type KvListOptions,
  type KvPutOptions,
} from './kv.ts';
import { listRows, type ListOptions, type Listing } from './listing.ts';
import type { CallOptions } from './options.ts';
import { put, type PutOptions, type PutResult } from './put.ts';
import { readIds, readNewest, scanRows, type NewestOptions, type ReadOptions, type ScanOptions } from './read.ts';
import { parseStats, sumStats, type PartitionStats } from './stats.ts';
import { tagRows, type TagPatches, type Tags } from './tags.ts';
import { highestLsn, idsPerCall, sendIds, sumOf, type Target } from './target.ts';
import type { Wire } from './wire.ts';

export interface DeleteResult {
  readonly lsn: number;
  /** Rows that were there. */
  readonly deleted: number;
}

/** What `Partition` can do with rows. */
export class PartitionRows {
  readonly name: string;
  protected readonly target: Target;
  #known: PartitionStats | undefined;

  /** @internal Use `client.partition(name)`. */
  constructor(wire: Wire, name: string) {
    this.name = name;
    this.target = {
      wire,
      partition: name,
      groupSize: async (signal) => (this.#known ?? (await this.stats({ signal }))).groupSize,
      fields: async (signal) => Object.keys((await this.stats({ signal })).fields),
    };
  }

  /**
   * Puts rows: cells of some fields. Rows get their fields by as many puts as you like, in any order; a cell that is
   * there already is overwritten. All of a part or nothing is put; a call within the limits is one part.
   *
   * `data` is a table or record batch of `apache-arrow` (dictionary columns are decoded), an Arrow IPC stream, a
   * `Batch`, or cells by field name: typed arrays, arrays of them, nested arrays, strings, JSON values, as the layout
   * says. Its ids are `ids`, or a column `index_id`; tags are `tags`, or a text column `tq_tags` of JSON objects.
   *
   * Throws FixRequestError (`field_mismatch`, `index_id_invalid`, `rows_exist`, `tags_invalid`), GiveUpError
   * (`partition_sealed`, `claim_stale`), WaitForOthersError (`over_budget`: there was no room for new rows within
   * `waitMs`, parts before this one are put; `disk_full`, `memory_full`).
   *
   * @example
   * ```ts
   * await train.put(tableFromArrays({ index_id: [7, 8], prompt: ['a', 'b'] }));
   * await train.put({ advantage: [[0.5, -0.5], []] }, { ids: [7, 8], ifAbsent: true });
   * ```
   */
  put(data: PutData, options: PutOptions = {}): Promise<PutResult> {
    return put(this.target, data, options, (names) => this.#layoutsOf(names, options.signal));
  }

  /**
   * Reads rows by id, in the order asked. With `waitMs`, waits until all of them have all the fields. With `lsn`, reads
   * the state that a snapshot holds.
   *
   * Throws WaitForOthersError (`rows_missing`, `timed_out`), GiveUpError (`drained`: the partition is sealed and
   * lacks some of the ids; `lsn_unknown`), FixRequestError (`field_unknown`).
   */
  get(ids: Ids, options: ReadOptions = {}): Promise<Batch> {
    return readIds(this.target, ids, options);
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
    return readNewest(this.target, options);
  }

  /**
   * Reads all rows of a range of ids that have the fields, batch by batch; ids rise, with several nodes on each. Each
   * batch is the state of its moment; with `lsn` all are that of one snapshot.
   */
  scan(options: ScanOptions = {}): AsyncGenerator<Batch, void, undefined> {
    return scanRows(this.target, options);
  }

  /** Deletes rows; ids that are not there are passed over. */
  async delete(ids: Ids, { signal }: CallOptions = {}): Promise<DeleteResult> {
    const { wire, partition } = this.target;
    const rowsMax = idsPerCall(await wire.limits(signal), undefined);
    const answers = await sendIds(this.target, ids, { route: 'delete', names: { partition }, rowsMax, signal });
    return { lsn: highestLsn(answers), deleted: sumOf(answers, 'deleted') };
  }

  /**
   * Merges tags into those of rows, on the server: writers of different tags never undo each other. A value replaces
   * the one of the same name, null removes it, and nested objects are merged (RFC 7396). Tags that the partition
   * declares as `numbers` are kept as float64, and take numbers or null. Calls over the server's limits are split by
   * rows, each part atomic by itself. Resolves to the LSN.
   *
   * Throws WaitForOthersError (`rows_missing`), FixRequestError (`tags_invalid`).
   *
   * @example
   * ```ts
   * await train.tag([6, 7], { status: 'finished' });
   * await train.tag([6, 7], [{ judge: { score: 7 } }, { status: null }]);
   * (await train.list({ ids: [6, 7] })).tags; // [{ status: 'finished', judge: { score: 7 } }, {}]
   * ```
   */
  tag(ids: Ids, tags: TagPatches, { signal }: CallOptions = {}): Promise<number> {
    return tagRows(this.target, ids, tags, signal);
  }

  /**
   * The rows with their tags and numbers, in the order of their coming: all of them, those of a filter, or those that a
   * task could claim. It asks for as many pages as there are; each is the state of its moment. So samplers are written:
   * list what is ready, choose (`table()` of a listing is a table of `apache-arrow`), and claim the `ids` that were
   * chosen; a claim gets those that nobody else has.
   *
   * Throws FixRequestError (`filter_invalid`, with the character in `details`).
   *
   * @example
   * ```ts
   * await train.tag([6, 7], [{ score: 0.25 }, { score: 0.75 }]);
   * (await train.list({ where: 'score > 0.5' })).ids; // [7]
   * const ready = await train.list({ task: 'best', fields: ['response'] });
   * const best = ready.ids.toSorted((a, b) => b - a).slice(0, 2);
   * const claim = await train.claim({ task: 'best', fields: ['response'], ids: best });
   * if (claim.outcome === 'rows') await claim.batch.ack(); // those of `best` that nobody else has
   * ```
   */
  list(options: ListOptions = {}): Promise<Listing> {
    return listRows(this.target, options);
  }

  /**
   * Puts fields of the row of one key; its other fields and tags stay. The key lies in the row's tags.
   *
   * Throws FixRequestError (`key_collision`: another key has the same hash, and a row), and as `put`.
   *
   * @example
   * ```ts
   * await train.kvPut('prompt-7/0', { response: [2, 3], reward: 0.5 }, { tags: { status: 'finished' } });
   * const { reward } = await train.kvGet('prompt-7/0', { fields: ['response', 'reward'] });
   * reward; // 0.5
   * ```
   */
  kvPut(key: string, values: Readonly<Record<string, MatrixInput>>, options: KvPutOptions = {}): Promise<PutResult> {
    return kvPut((data, more) => this.put(data, more), key, values, options);
  }

  /**
   * Puts fields of the rows of these keys, each key once; as `put` and `kvPut`.
   *
   * @example
   * ```ts
   * await train.kvBatchPut(['a', 'b'], { response: [[1], [2, 3]] }, { tags: [{ step: 1 }, { step: 2 }] });
   * const batch = await train.kvBatchGet(['b', 'c', 'a'], { fields: ['response'], missing: 'drop' });
   * batch.rowKeys; // ['b', 'a']
   * batch.column('response').row(0); // BigInt64Array [2n, 3n]
   * ```
   */
  kvBatchPut(keys: readonly string[], data: PutData, options: KvBatchPutOptions = {}): Promise<PutResult> {
    return kvBatchPut((rows, more) => this.put(rows, more), keys, data, options);
  }

  /**
   * The fields of the row of one key, by name: elements and shape of dense and ragged fields, otherwise the value.
   *
   * Throws WaitForOthersError (`keys_missing`: there is no such row, or it lacks fields; `timed_out`).
   */
  kvGet(key: string, options: KvGetOptions = {}): Promise<Record<string, Matrix | Cell>> {
    return kvGet(this.target, key, options);
  }

  /**
   * The rows of these keys, in this order; `Batch.rowKeys` are their keys, `Batch.tags` their tags.
   *
   * Throws WaitForOthersError (`keys_missing`, with the first ten keys in `details`, unless `missing` is `drop`;
   * `timed_out`).
   */
  kvBatchGet(keys: readonly string[], options: KvBatchGetOptions = {}): Promise<Batch> {
    return kvBatchGet(this.target, keys, options);
  }

  /**
   * The keys and the tags of their rows, declared numbers included, in the order of their coming; rows that have no key
   * are left out.
   */
  kvList(options: KvListOptions = {}): Promise<Map<string, Tags>> {
    return kvList(this.target, options);
  }

  /**
   * Deletes the rows of these keys, or of all keys; keys that are not there are passed over, and rows without one stay.
   *
   * @example
   * ```ts
   * await train.kvBatchPut(['a', 'b'], { response: [[1], [2]] });
   * (await train.kvClear(['b', 'c'])).deleted; // 1
   * [...(await train.kvList()).keys()]; // ['a']
   * ```
   */
  async kvClear(keys?: readonly string[], options: CallOptions = {}): Promise<DeleteResult> {
    return this.delete(await keyedIds(this.target, keys, options.signal), options);
  }

  /** What the server knows of the partition: fields, settings, rows, bytes, tasks. */
  async stats({ signal }: CallOptions = {}): Promise<PartitionStats> {
    const answers = await this.target.wire.sendToAll({ route: 'partition', names: { partition: this.name }, signal });
    this.#known = sumStats(answers.map(parseStats));
    return this.#known;
  }

  /** @internal What a server has said of the partition; nothing after it was dropped. */
  learn(stats: PartitionStats | undefined): void {
    this.#known = stats;
  }

  /** The layouts as last heard; asked for again when one of the names is new, since others may have declared it. */
  async #layoutsOf(names: readonly string[], signal: AbortSignal | undefined): Promise<PartitionStats['fields']> {
    if (names.length === 0) return {};
    const known = this.#known?.fields;
    if (known !== undefined && names.every((name) => Object.hasOwn(known, name))) return known;
    return (await this.stats({ signal })).fields;
  }
}
