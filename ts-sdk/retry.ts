/**
 * When a call is tried again, and after what pause.
 *
 *   attempt fails -> kind retry, or status 429 or 503 -> pause -> the same request id again
 *   pause n       =  Retry-After, where the server gave one; else backoffMs (evenly by chance) x backoffFactor^n
 *
 * Invariants: a call ends by its deadline and after `attemptsMax` attempts, whichever comes first; a pause that would
 * pass the deadline is not begun; every attempt of one call carries the same request id, so it acts once.
 */
import { TransferQueueError, clientError } from './errors.ts';

/** How often, and after which pauses, a call is tried again. */
export interface RetryPolicy {
  /** Attempts per call, the first one included. Default 8. */
  readonly attemptsMax: number;
  /** The first pause is chosen evenly within this window, in milliseconds. Default [500, 800]. */
  readonly backoffMs: readonly [number, number];
  /** Each further pause is this much longer. Default 2. */
  readonly backoffFactor: number;
  /** The longest pause, in milliseconds; one that the server asks for takes its place. Default 4,000. */
  readonly backoffMsMax: number;
}

export const retryDefaults: RetryPolicy = {
  attemptsMax: 8,
  backoffMs: [500, 800],
  backoffFactor: 2,
  backoffMsMax: 4_000,
};

/** The clock and the dice of a client, so that tests can hold both. */
export interface Runtime {
  /** Milliseconds of a clock that never goes back. */
  nowMs(): number;
  /** A number in [0, 1). */
  random(): number;
  /** Resolves after `ms`; rejects with the reason of `signal` when that aborts first. */
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
}

export const systemRuntime: Runtime = {
  nowMs: () => performance.now(),
  random: Math.random,
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      // This timer holds the process: during a pause there may be no socket that does, and the caller still awaits.
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      }, ms);
      const aborted = (): void => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', aborted, { once: true });
    });
  },
};

/** Statuses that ask for another attempt whatever the kind of the error. */
const STATUSES_TO_RETRY: readonly number[] = [429, 503];

/** What is not tried again as it is: the shard map has to be asked first, rows have to go, or time is up. */
const CODES_NOT_TO_RETRY: readonly string[] = ['wrong_node', 'over_budget', 'deadline_exceeded'];

/** Whether a failed attempt is worth another one. */
export function isRetryable(error: unknown): error is TransferQueueError {
  if (!(error instanceof TransferQueueError)) return false;
  if (CODES_NOT_TO_RETRY.includes(error.code)) return false;
  return error.kind === 'retry' || STATUSES_TO_RETRY.includes(error.status);
}

/** The pause after attempt `index` (0 is the first), in milliseconds. */
export function pauseMs(
  policy: RetryPolicy,
  { index, retryAfterMs, random }: { index: number; retryAfterMs?: number; random: number },
): number {
  if (retryAfterMs !== undefined) return retryAfterMs;
  const [min, max] = policy.backoffMs;
  return Math.min(policy.backoffMsMax, (min + (max - min) * random) * policy.backoffFactor ** index);
}

interface RetryBounds {
  readonly policy: RetryPolicy;
  readonly runtime: Runtime;
  /** On the clock of the runtime. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Runs `attempt` until it works or the bounds are reached; then the last error is thrown. */
export async function withRetries<T>(bounds: RetryBounds, attempt: (leftMs: number) => Promise<T>): Promise<T> {
  const { policy, runtime, deadlineMs, signal } = bounds;
  for (let index = 0; ; index++) {
    signal?.throwIfAborted();
    const leftMs = deadlineMs - runtime.nowMs();
    if (leftMs <= 0) throw clientError('deadline_exceeded');
    try {
      return await attempt(leftMs);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isRetryable(error) || index + 1 >= policy.attemptsMax) throw error;
      const ms = pauseMs(policy, { index, retryAfterMs: error.retryAfterMs, random: runtime.random() });
      if (runtime.nowMs() + ms >= deadlineMs) throw error;
      await runtime.sleep(ms, signal);
    }
  }
}
