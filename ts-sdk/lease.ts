/**
 * The lease of one claim: kept alive while its batch is held, and ended once.
 *
 *   held -> acked | released | lost            renewed at each third of the lease, until holdMaxMs after the grant
 *
 * Invariants: a claim ends once, acks and releases taking turns; its timer ends with it and never keeps the process
 * alive; a batch that nobody references any more is not renewed, so its rows go to another consumer when the lease
 * runs out. A batch held beyond holdMaxMs may still be acked: the server alone knows whether its rows went to someone
 * else.
 */
import { TransferQueueError, catalogueError } from './errors.ts';
import type { Wire } from './wire.ts';

/** Renewals come this often within one lease, so that some may fail. */
const RENEWALS_PER_LEASE = 3;

export interface Grant {
  readonly wire: Wire;
  /** The node that granted the claim. */
  readonly url: string;
  readonly token: string;
  readonly leaseMs: number;
  readonly holdMaxMs: number;
  /** The rows were consumed when they were granted. */
  readonly autoAck: boolean;
}

export class Lease {
  readonly grant: Grant;
  readonly #holder: WeakRef<object>;
  /** Made for those who ask for its signal, as few do. */
  #controller: AbortController | undefined;
  #lostBy: Error | undefined;
  readonly #heldSinceMs: number;
  #state: 'held' | 'acked' | 'released' | 'lost';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #turns: Promise<void> = Promise.resolve();

  constructor(grant: Grant, holder: object) {
    this.grant = grant;
    this.#holder = new WeakRef(holder);
    this.#heldSinceMs = grant.wire.runtime.nowMs();
    this.#state = grant.autoAck ? 'acked' : 'held';
    if (this.#state !== 'held') return;
    grant.wire.leases.add(this);
    this.#renewLater();
  }

  get isHeld(): boolean {
    return this.#state === 'held';
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#lostBy !== undefined) this.#controller.abort(this.#lostBy);
    return this.#controller.signal;
  }

  ack(signal: AbortSignal | undefined): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'acked') return;
      if (this.#state === 'lost') throw this.#lostBy!;
      if (this.#state === 'released')
        throw catalogueError('claim_stale', 'The batch was released; its rows may be with others.');
      await this.#end('ack', signal);
    });
  }

  release(signal: AbortSignal | undefined): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state !== 'held') return;
      try {
        await this.#end('release', signal);
      } catch (error) {
        if (!isGone(error)) throw error; // The rows are with others already, which is what was asked for.
      }
    });
  }

  /** The claim was acked by a put. */
  markAcked(): void {
    this.#leave('acked');
  }

  /** Renews no more, without a word to the server. */
  lose(reason: Error): void {
    this.#leave('lost');
    this.#lostBy = reason;
    this.#controller?.abort(reason);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turns.then(work);
    this.#turns = turn.catch(() => undefined); // The caller of the turn gets its error; the next turn need not.
    return turn;
  }

  async #end(route: 'ack' | 'release', signal: AbortSignal | undefined): Promise<void> {
    const { wire, url, token } = this.grant;
    try {
      await wire.send({ url, route, names: { claim: token }, signal });
      this.#leave(route === 'ack' ? 'acked' : 'released');
    } catch (error) {
      if (isGone(error)) this.lose(error);
      throw error;
    }
  }

  #leave(state: 'acked' | 'released' | 'lost'): void {
    this.#state = state;
    clearTimeout(this.#timer);
    this.grant.wire.leases.delete(this);
  }

  #renewLater(): void {
    const { leaseMs, holdMaxMs, wire } = this.grant;
    const pauseMs = leaseMs / RENEWALS_PER_LEASE;
    if (wire.runtime.nowMs() + pauseMs - this.#heldSinceMs > holdMaxMs) {
      wire.leases.delete(this);
      return;
    }
    this.#timer = setTimeout(() => void this.#renew(), pauseMs);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #renew(): Promise<void> {
    const { wire, url, token, leaseMs } = this.grant;
    if (this.#holder.deref() === undefined) {
      wire.leases.delete(this);
      return;
    }
    try {
      await wire.send({
        url,
        route: 'renew',
        names: { claim: token },
        json: { lease_ms: leaseMs },
        timeoutMs: leaseMs,
      });
    } catch (error) {
      // Other failures may pass: the next renewal comes within the lease.
      if (
        error instanceof TransferQueueError &&
        (error.kind === 'give_up' || error.kind === 'fix_request') &&
        this.isHeld
      ) {
        this.lose(error);
      }
    }
    if (this.isHeld) this.#renewLater();
  }
}

function isGone(error: unknown): error is TransferQueueError {
  return error instanceof TransferQueueError && (error.code === 'claim_stale' || error.code === 'claim_unknown');
}
