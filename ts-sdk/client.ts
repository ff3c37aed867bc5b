/** The client: one address, one token, one pool of connections; partitions and single matrices by name. */
import { NAME_PATTERN, type Limits } from '@transfer-queue/core/protocol';
import { BLOB_CACHE_BYTES_MAX } from './blob_cache.ts';
import type { MatrixInput } from './cells.ts';
import type { Checkpoint, LoadCheckpointOptions, SaveCheckpointOptions } from './checkpoints.ts';
import type { Cell, Matrix } from './column.ts';
import { catalogueError, clientError } from './errors.ts';
import type { CallOptions, WaitOptions } from './options.ts';
import { Partition } from './partition.ts';
import { declarationJson, type PartitionSettings } from './policies.ts';
import type { PutOptions, PutResult } from './put.ts';
import { openSnapshot, type Snapshot, type SnapshotOptions } from './snapshot.ts';
import { retryDefaults, systemRuntime, type RetryPolicy, type Runtime } from './retry.ts';
import { parseStats, sumStats, type PartitionStats } from './stats.ts';
import { Wire } from './wire.ts';

const PARTITION_NAME = new RegExp(NAME_PATTERN);
const TOKEN = /^[\x21-\x7e]+$/;
const URL_DEFAULT = 'http://127.0.0.1:7654';

/** Where the server is, and how to talk to it. */
export interface ConnectOptions {
  /** Default: the environment's TQ_URL, else http://127.0.0.1:7654. */
  readonly url?: string;
  /** The bearer token. Default: the environment's TQ_TOKEN, else none. */
  readonly token?: string;
  /**
   * The deadline of each call, retries included, in milliseconds; the wait that it asks for is added. Default 30,000.
   */
  readonly timeoutMs?: number;
  /** The deadline for a connection to open, in milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** The most connections to one node. Each call that waits holds one. Default 64. */
  readonly connectionsMax?: number;
  /** Have answers carry a checksum, and check it. Puts always carry one. Default true. */
  readonly checksums?: boolean;
  /** How often, and after which pauses, a call is tried again. */
  readonly retry?: Partial<RetryPolicy>;
  /** Memory for the blobs that were used last, in bytes; 0 keeps none. Default 256 MiB. */
  readonly blobCacheBytesMax?: number;
}

export interface MatrixOptions {
  /** The name of the partition. */
  readonly partition: string;
}

/**
 * Makes a client of the server at a URL, given alone or among the options. No connection is opened before the first
 * call.
 *
 * @example
 * ```ts
 * await using tq = connect({ url: 'http://127.0.0.1:7654' }); // closed at the end of the block
 * const train = await tq.partition('train', { fields: { prompt: text(), response: ragged('int64') } });
 * await train.put({ prompt: ['1 + 1 ='], response: [[2]] }, { ids: [7] });
 * const batch = await train.get([7]);
 * batch.column('response').row(0); // BigInt64Array [2n]
 * ```
 */
export function connect(options: string | ConnectOptions = {}): Client {
  return new Client(typeof options === 'string' ? { url: options } : options, systemRuntime);
}

/** A client, safe to share by everything in this thread. */
export class Client {
  readonly #wire: Wire;
  /** One handle per name, so that its fields are asked for once. */
  readonly #handles = new Map<string, Partition>();

  /** @internal Use `connect`. */
  constructor(options: ConnectOptions, runtime: Runtime) {
    const url = options.url ?? environment('TQ_URL') ?? URL_DEFAULT;
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      throw clientError('input_invalid', `${url} is not an http(s) URL.`);
    const token = options.token ?? environment('TQ_TOKEN');
    if (token !== undefined && !TOKEN.test(token))
      throw clientError('input_invalid', 'A token is printable ASCII without spaces.');
    this.#wire = new Wire(
      {
        url,
        token,
        timeoutMs: options.timeoutMs ?? 30_000,
        connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
        connectionsMax: options.connectionsMax ?? 64,
        checksums: options.checksums ?? true,
        retry: { ...retryDefaults, ...options.retry },
        blobCacheBytesMax: options.blobCacheBytesMax ?? BLOB_CACHE_BYTES_MAX,
      },
      runtime,
    );
  }

  /**
   * Declares a partition, or attaches to one. With settings it is created, or they are added to it or changed; the same
   * settings again change nothing. With the name alone it must exist.
   *
   * Throws FixRequestError (`partition_unknown`, `partition_conflict`, `layout_invalid`, `name_invalid`).
   *
   * @example
   * ```ts
   * const fields = { image: dense('float32', [28, 28]), response: ragged('int64') };
   * const train = await tq.partition('train', { fields, groupSize: 8 });
   * const queue = { tasks: ['reward', 'actor'], release: 'consumed', rowsMax: 65_536 } as const;
   * const rollouts = await tq.partition('rollouts', queue);
   * (await rollouts.stats()).rowsMax; // 65536
   * ```
   */
  async partition(name: string, settings?: PartitionSettings & CallOptions): Promise<Partition> {
    const handle = this.#handle(name);
    if (settings === undefined) {
      await handle.stats();
      return handle;
    }
    const { signal, ...declared } = settings;
    const json = declarationJson(declared);
    const answers = await this.#wire.sendToAll({ route: 'declare', names: { partition: name }, json, signal });
    handle.learn(sumStats(answers.map(parseStats)));
    return handle;
  }

  /** All partitions with their statistics. */
  async partitions({ signal }: CallOptions = {}): Promise<PartitionStats[]> {
    const byName = new Map<string, PartitionStats>();
    for (const answer of await this.#wire.sendToAll({ route: 'partitions', signal })) {
      for (const stats of (answer.partitions as Record<string, unknown>[]).map(parseStats)) {
        const known = byName.get(stats.name);
        byName.set(stats.name, known === undefined ? stats : sumStats([known, stats]));
      }
    }
    return [...byName.values()];
  }

  /**
   * Holds the state of now, so that many reads see the same rows whatever is put or deleted meanwhile. What it holds is
   * not given back before it is closed or its lease is over.
   *
   * Throws WaitForOthersError (`too_many_snapshots`).
   *
   * @example
   * ```ts
   * await using snapshot = await tq.snapshot({ leaseMs: 60_000 }); // closed at the end of the block
   * await train.delete([7]);
   * const batch = await train.get([7], { fields: ['prompt'], lsn: snapshot.lsn }); // as it was
   * batch.column('prompt').row(0); // '7'
   * ```
   */
  snapshot(options: SnapshotOptions = {}): Promise<Snapshot> {
    return openSnapshot(this.#wire, options);
  }

  /**
   * Saves partitions into a directory: rows, tags, settings, and what each task has consumed, as of one moment, while
   * producers and consumers go on. Rows that are leased are unclaimed in the checkpoint. One that is in the directory
   * already stays whole until the new one takes its place; one save at a time. Needs Node.js.
   *
   * Throws FixRequestError (`partition_unknown`) and WaitForOthersError (`disk_full`, `too_many_snapshots`).
   *
   * @example
   * ```ts
   * const saved = await tq.saveCheckpoint(directory, { metadata: { step: 12 }, partitions: ['train'] });
   * saved.metadata; // { step: 12 }
   * ```
   */
  async saveCheckpoint(directory: string, options: SaveCheckpointOptions = {}): Promise<Checkpoint> {
    const { saveCheckpoint } = await import('./checkpoints.ts');
    return saveCheckpoint(this.#wire, directory, options);
  }

  /**
   * Brings the partitions of a checkpoint into this server, empty or running: all of them, or nothing. All files are
   * checked before anything is sent, and nobody sees the partitions before all of them are complete and durable. Claims
   * of before are unknown to the server; what they held is claimable. When the connection breaks during the last call,
   * all may be loaded or nothing. Needs Node.js.
   *
   * Throws FixRequestError (`checkpoint_invalid`, `partition_exists`, `partition_unknown`; `body_too_large`: the states
   * of these partitions are more than `states_bytes_max` together) and WaitForOthersError (`over_budget`, `disk_full`,
   * `memory_full`).
   *
   * @example
   * ```ts
   * await tq.saveCheckpoint(directory, { metadata: { step: 12 }, partitions: ['train'] });
   * const loaded = await tq.loadCheckpoint(directory, { replace: true });
   * loaded.metadata; // { step: 12 }
   * ```
   */
  async loadCheckpoint(directory: string, options: LoadCheckpointOptions = {}): Promise<Checkpoint> {
    const { loadCheckpoint } = await import('./checkpoints.ts');
    const loaded = await loadCheckpoint(this.#wire, directory, options);
    for (const handle of this.#handles.values()) handle.learn(undefined);
    return loaded;
  }

  /**
   * Writes one matrix: the cell of row `id` and `field`.
   *
   * @example
   * ```ts
   * await tq.writeMatrix(7, 'advantage', Float32Array.of(0.5, -0.5), { partition: 'train' });
   * await tq.writeMatrix(7, 'embedding', { data: new Float32Array(3 * 64), shape: [3, 64] }, { partition: 'train' });
   * ```
   */
  async writeMatrix(
    id: number,
    field: string,
    matrix: MatrixInput,
    options: MatrixOptions & Omit<PutOptions, 'ids'>,
  ): Promise<PutResult> {
    const { partition, ...rest } = options;
    return this.#handle(partition).put({ [field]: [matrix] }, { ...rest, ids: [id] });
  }

  /**
   * Reads one matrix: elements and shape for dense and ragged fields, otherwise the value. Throws as `Partition.get`.
   *
   * @example
   * ```ts
   * const { data, shape } = (await tq.readMatrix(7, 'embedding', { partition: 'train' })) as Matrix;
   * shape; // [3, 64]
   * ```
   */
  async readMatrix(id: number, field: string, options: MatrixOptions & WaitOptions): Promise<Matrix | Cell> {
    const { partition, ...rest } = options;
    const batch = await this.#handle(partition).get([id], { ...rest, fields: [field] });
    return batch.column(field).matrix(0);
  }

  /** The limits of the server, as they are now: bytes, rows and milliseconds. */
  limits({ signal }: CallOptions = {}): Promise<Limits> {
    return this.#wire.fetchLimits(signal);
  }

  /**
   * Ends what is under way with `client_closed` and closes all connections. Claims that are held are renewed no more,
   * so their rows go back when their leases run out; release them before, to give them back at once.
   */
  close(): Promise<void> {
    return this.#wire.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #handle(name: string): Partition {
    const known = this.#handles.get(name);
    if (known !== undefined) return known;
    if (!PARTITION_NAME.test(name))
      throw catalogueError('name_invalid', `${JSON.stringify(name)} is not a name of a partition.`);
    const handle = new Partition(this.#wire, name);
    this.#handles.set(name, handle);
    return handle;
  }
}

/** Reached without an import, so that the SDK loads where there is no `process`. */
function environment(name: string): string | undefined {
  const value = globalThis.process?.env?.[name];
  return value === undefined || value === '' ? undefined : value;
}
