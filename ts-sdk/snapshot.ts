/**
 * Snapshots: the state of one moment, held under a lease, so that many reads see the same rows.
 *
 *   open, one per node -> reads that name it -> close, or end of the lease: what only it held is given back
 *
 * Invariants: a read at a snapshot sees all rows as they were when it was opened, or throws `lsn_unknown`; nothing
 * renews a lease but `renew`.
 */
import { TransferQueueError, catalogueError, clientError } from './errors.ts';
import type { CallOptions } from './options.ts';
import type { Wire } from './wire.ts';

export interface SnapshotOptions extends CallOptions {
  /** How long the snapshot is held without a renewal, in milliseconds. Default 60,000. */
  readonly leaseMs?: number;
}

/** What one node holds. */
interface Held {
  readonly token: string;
  readonly lsn: number;
}

const LEASE_MS_DEFAULT = 60_000;

/**
 * The state of all partitions when it was opened; made by `client.snapshot()`. Reads see it by naming its LSN. It is
 * held until it is closed or its lease is over. Rows of partitions of ack level `memory` are not held.
 */
export class Snapshot {
  readonly #wire: Wire;
  /** By the address of the node. */
  readonly #held: ReadonlyMap<string, Held>;
  #leaseMs: number;
  #isClosed = false;

  /** @internal Use `client.snapshot()`. */
  constructor(wire: Wire, held: ReadonlyMap<string, Held>, leaseMs: number) {
    this.#wire = wire;
    this.#held = held;
    this.#leaseMs = leaseMs;
  }

  /**
   * LSN of the last change that it sees. With several nodes, whose LSNs differ, the highest; reads then take the
   * snapshot itself: `{ lsn: snapshot }`.
   */
  get lsn(): number {
    return Math.max(...Array.from(this.#held.values(), ({ lsn }) => lsn));
  }

  /** How long it is held without a renewal, in milliseconds. */
  get leaseMs(): number {
    return this.#leaseMs;
  }

  /**
   * Lets the lease end `leaseMs` from now; default: as long as before. Throws GiveUpError (`lsn_unknown`) when it was
   * closed, its lease was over, or the server was started anew.
   */
  async renew({ leaseMs = this.#leaseMs, signal }: SnapshotOptions = {}): Promise<void> {
    const json = { lease_ms: leaseMs };
    await this.#atEach(({ url, token }) =>
      this.#wire.send({ url, route: 'renewSnapshot', names: { snapshot: token }, json, signal }),
    );
    this.#leaseMs = leaseMs;
  }

  /** Lets go of it. A second call does nothing, nor does one after the end of its lease. */
  async close({ signal }: CallOptions = {}): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#atEach(({ url, token }) =>
      this.#wire.send({ url, route: 'closeSnapshot', names: { snapshot: token }, signal }).catch(passIfGone),
    );
  }

  /** Closes it. Where that fails the lease ends by itself. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch((error: unknown) => {
      if (!(error instanceof TransferQueueError)) throw error;
    });
  }

  /** @internal The LSN of its state at one node. */
  lsnAt(url: string): number {
    const held = this.#held.get(url);
    if (held === undefined) throw catalogueError('lsn_unknown', 'The snapshot was opened before this node was there.');
    return held.lsn;
  }

  #atEach(act: (held: { url: string; token: string }) => Promise<unknown>): Promise<unknown> {
    return Promise.all(Array.from(this.#held, ([url, { token }]) => act({ url, token })));
  }
}

/** Holds the state of now at every node: at each of them that of the moment when it is asked. */
export async function openSnapshot(wire: Wire, options: SnapshotOptions): Promise<Snapshot> {
  const { leaseMs = LEASE_MS_DEFAULT, signal } = options;
  const { nodes } = await wire.shards(signal);
  const json = { lease_ms: leaseMs };
  const opened = await Promise.allSettled(
    nodes.map(
      async ({ url }) => [url, heldOf(await wire.sendForJson({ url, route: 'openSnapshot', json, signal }))] as const,
    ),
  );
  const held = new Map(opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])));
  const snapshot = new Snapshot(wire, held, leaseMs);
  const failed = opened.find((result) => result.status === 'rejected');
  if (failed === undefined) return snapshot;
  await snapshot[Symbol.asyncDispose]();
  throw failed.reason;
}

/** The LSN that a read at one of so many nodes names. */
export function lsnFor(lsn: number | Snapshot | undefined, url: string, nodes: number): number | undefined {
  if (lsn instanceof Snapshot) return lsn.lsnAt(url);
  if (lsn !== undefined && nodes > 1)
    throw clientError('input_invalid', 'Each node has LSNs of its own; give the snapshot itself as lsn.');
  return lsn;
}

function heldOf({ snapshot, lsn }: Readonly<Record<string, unknown>>): Held {
  if (typeof snapshot === 'string' && typeof lsn === 'number') return { token: snapshot, lsn };
  throw clientError('answer_invalid', 'The answer to a snapshot is not understood.');
}

function passIfGone(error: unknown): void {
  if (!(error instanceof TransferQueueError && error.code === 'lsn_unknown')) throw error;
}
