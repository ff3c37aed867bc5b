/**
 * What became of recent requests, by the id that their caller gave them: a retry gets the same answer and acts once.
 *
 * Invariants: an entry is made by `apply`, live and in replay alike; beyond `limits.requestIdsKept` the oldest go.
 */
import { limits } from '@transfer-queue/core/protocol';

export type RequestOutcome =
  | {
      readonly kind: 'put';
      readonly partition: number;
      readonly lsn: number;
      readonly rows: number;
      readonly commit: Promise<unknown>;
    }
  | {
      readonly kind: 'delete';
      readonly partition: number;
      readonly lsn: number;
      readonly rows: number;
      readonly commit: Promise<unknown>;
    }
  | { readonly kind: 'claim'; readonly partition: number; readonly claim: number; readonly commit: Promise<unknown> };

export class RequestTable {
  readonly #outcomes = new Map<string, RequestOutcome>();

  get(requestId: string): RequestOutcome | undefined {
    return this.#outcomes.get(requestId);
  }

  /** Requests without an id are not remembered. */
  set(requestId: string, outcome: RequestOutcome): void {
    if (requestId === '') return;
    this.#outcomes.set(requestId, outcome);
    if (this.#outcomes.size <= limits.requestIdsKept) return;
    for (const oldest of this.#outcomes.keys()) {
      this.#outcomes.delete(oldest);
      return;
    }
  }
}
