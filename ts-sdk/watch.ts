/**
 * Watching a partition: its changes as they are committed, by one request at a time that waits at the server.
 *
 *   begin -> LSN of now -> request after it -> changes -> request after the last of them -> ...
 *
 * Invariants: no change is given twice; where some were not kept, a change `missed` stands in their place.
 */
import { endable, unlessEnded, type Endable } from './endable.ts';
import { clientError } from './errors.ts';
import type { WaitOptions } from './options.ts';
import { TURN_MS } from './shards.ts';
import { listIn, numberIn, type JsonObject, type Target } from './target.ts';

export interface WatchOptions extends WaitOptions {
  /**
   * Only changes after this one, as far as the server has kept them: it keeps those of partitions that somebody
   * watches. Not with several nodes. Default: those from the beginning of the watch on.
   */
  readonly afterLsn?: number;
  /** The watch ends when nothing changed for so long, in milliseconds. Default Infinity. */
  readonly waitMs?: number;
}

/** One change of a partition. */
export interface Change {
  readonly lsn: number;
  /**
   * `put`, `delete`, `tag`, `seal`, `claim`, `ack`, `release`, and others as the server has them; `missed` where
   * changes went by that it did not keep: list the rows anew then.
   */
  readonly change: string;
  /** How many rows it is about. */
  readonly rows: number;
  /** Their ids; of many rows the first 256. */
  readonly ids: readonly number[];
  /** The fields that a put brought. */
  readonly fields: readonly string[];
  /** The task of a claim, an ack or a release. */
  readonly task: string | undefined;
}

/** The changes of a partition. The watch begins with the first step, or before it with `begin()`. */
export interface Changes extends Endable<Change> {
  /** Begins the watch, so that no change from now on is missed. */
  begin(): Promise<void>;
}

export function watch(target: Target, options: WatchOptions): Changes {
  const watcher = new Watcher(target, options);
  const changes = endable(options.signal, (signal, ended) => changesOf(watcher, signal, ended));
  return { ...changes, begin: () => watcher.begin(options.signal) };
}

async function* changesOf(watcher: Watcher, signal: AbortSignal, ended: AbortSignal): Endable<Change> {
  for (;;) {
    const found = await unlessEnded(ended, watcher.next(signal));
    if (found === undefined || found.length === 0) return;
    yield* found;
  }
}

/** Where a watch stands: by the address of each node the LSN up to which it has seen the changes. */
class Watcher {
  readonly #target: Target;
  readonly #options: WatchOptions;
  readonly #seen = new Map<string, number>();

  constructor(target: Target, options: WatchOptions) {
    this.#target = target;
    this.#options = options;
  }

  /** Notes what each node has now, where that is not noted yet. */
  async begin(signal: AbortSignal | undefined): Promise<void> {
    const { afterLsn } = this.#options;
    const { nodes } = await this.#target.wire.shards(signal);
    if (afterLsn !== undefined && nodes.length > 1)
      throw clientError('input_invalid', 'Each node has LSNs of its own; watch from now on.');
    const unknown = nodes.filter(({ url }) => !this.#seen.has(url));
    await Promise.all(
      unknown.map(async ({ url }) => {
        if (afterLsn === undefined) await this.#ask(url, 0, signal);
        else this.#seen.set(url, afterLsn);
      }),
    );
  }

  /** The changes since the last call; none when nothing changed for as long as the watch waits. */
  async next(signal: AbortSignal): Promise<readonly Change[]> {
    await this.begin(signal);
    const { wire } = this.#target;
    const endMs = wire.runtime.nowMs() + (this.#options.waitMs ?? Infinity);
    const turnMs = this.#seen.size === 1 ? (await wire.limits(signal)).waitMsMax : TURN_MS;
    for (;;) {
      const leftMs = Math.max(0, endMs - wire.runtime.nowMs());
      for (const url of this.#seen.keys()) {
        const waitMs = Math.ceil(Math.min(turnMs, Math.max(0, endMs - wire.runtime.nowMs())));
        const found = await this.#ask(url, waitMs, signal);
        if (found.length > 0) return found;
      }
      if (leftMs <= turnMs) return [];
    }
  }

  async #ask(url: string, waitMs: number, signal: AbortSignal | undefined): Promise<readonly Change[]> {
    const { wire, partition } = this.#target;
    const seen = this.#seen.get(url);
    const query = { wait_ms: String(waitMs), ...(seen !== undefined && { after_lsn: String(seen) }) };
    const answer = await wire.sendForJson({ url, route: 'watch', names: { partition }, query, waitMs, signal });
    this.#seen.set(url, numberIn(answer, 'lsn'));
    const found = listIn<JsonObject>(answer, 'changes').map(changeOf);
    return answer.missed === true ? [changeOf({ lsn: seen ?? 0, change: 'missed' }), ...found] : found;
  }
}

function changeOf(json: JsonObject): Change {
  const { lsn, change, rows = 0, ids = [], fields = [], task } = json as unknown as Partial<Change>;
  if (typeof lsn !== 'number' || typeof change !== 'string')
    throw clientError('answer_invalid', 'A change of the partition is not understood.');
  return { lsn, change, rows, ids, fields, task };
}
