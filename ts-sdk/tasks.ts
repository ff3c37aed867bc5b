/**
 * What a partition's tasks stand at, and what can be done about them: leases, dead letters, versions, held bytes.
 *
 * Invariant: with several nodes each is asked, and the answers are joined; a change is made at each of them.
 */
import type { ReleaseRule, RouteName } from '@transfer-queue/core/protocol';
import { toIds, type Ids } from './encode.ts';
import { camelKeys } from './names.ts';
import type { CallOptions } from './options.ts';
import type { Retention } from './policies.ts';
import { highestLsn, listIn, numberIn, sendIds, sumOf, type JsonObject, type Target } from './target.ts';

/** A claim under a lease. */
export interface LeaseStatus {
  /** The number of the claim. */
  readonly claim: number;
  readonly task: string;
  /** How many rows it holds. */
  readonly rows: number;
  /** The first 16 of them. */
  readonly ids: readonly number[];
  /** The highest attempt of a row. */
  readonly attemptsMax: number;
  /** How long the lease is, in milliseconds. */
  readonly leaseMs: number;
  /** How long it still runs, in milliseconds. */
  readonly leftMs: number;
  readonly fields: readonly string[];
}

/** Why the bytes of a row are still there; for people more than for programs. */
export interface HeldRow {
  readonly id: number;
  /** Whether the row is there; bytes of one that was deleted may be held too. */
  readonly there: boolean;
  /** By field: the extent of its cell, in bytes, and how many of the rows that came with it still live. */
  readonly fields: Readonly<Record<string, HeldField>>;
  /** Tasks that have not consumed the row. */
  readonly tasks: readonly HeldTask[];
  /** Claims that hold it, or were granted it. */
  readonly claims: readonly HeldClaim[];
  /** Snapshots that see it. */
  readonly snapshots: readonly { readonly snapshot: string; readonly lsn: number }[];
  /** What becomes of rows that every declared task has consumed. */
  readonly release: ReleaseRule;
  readonly retention: Retention | null;
  /** All of it in a sentence. */
  readonly because: string;
}

export interface HeldField {
  readonly lsn: number;
  readonly segment: number;
  readonly offset: number;
  readonly bytes: number;
  readonly rows: number;
  readonly rowsLive: number;
}

export interface HeldTask {
  readonly task: string;
  readonly declared: boolean;
  readonly state: string;
  /** How often the row came back. */
  readonly returns: number;
}

export interface HeldClaim {
  readonly claim: number;
  readonly task: string | null;
  readonly state: string;
  readonly leftMs: number | null;
  readonly granted: boolean;
}

export interface DeadLettersOptions extends CallOptions {
  /** At most so many. Default: all. */
  readonly rowsMax?: number;
}

export interface RequeueOptions extends CallOptions {
  /** Only these rows. Default: all dead letters of the task. */
  readonly ids?: Ids;
}

export async function advance(target: Target, version: number, signal?: AbortSignal): Promise<number> {
  return highestLsn(await sendToAll(target, { route: 'advance', json: { version }, signal }));
}

export async function leases(target: Target, signal?: AbortSignal): Promise<LeaseStatus[]> {
  const answers = await sendToAll(target, { route: 'leases', signal });
  return answers.flatMap((answer) => listIn<JsonObject>(answer, 'leases').map(camelKeys) as unknown as LeaseStatus[]);
}

export async function deadLetters(
  { wire, partition }: Target,
  task: string,
  { rowsMax = Infinity, signal }: DeadLettersOptions,
): Promise<Map<number, number>> {
  const { listRowsMax } = await wire.limits(signal);
  const dead = new Map<number, number>();
  for (const { url } of (await wire.shards(signal)).nodes) {
    let after: number | null = null;
    while (dead.size < rowsMax) {
      const some = Math.min(rowsMax - dead.size, listRowsMax);
      const query = { rows_max: String(some), ...(after !== null && { after: String(after) }) };
      const page = await wire.sendForJson({ url, route: 'deadLetters', names: { partition, task }, query, signal });
      for (const row of listIn<JsonObject>(page, 'rows')) dead.set(numberIn(row, 'id'), numberIn(row, 'attempts'));
      after = page.next === null ? null : numberIn(page, 'next');
      if (after === null) break;
    }
  }
  return dead;
}

export async function requeue(target: Target, task: string, { ids, signal }: RequeueOptions): Promise<number> {
  const { wire, partition } = target;
  const names = { partition, task };
  if (ids === undefined) return sumOf(await wire.sendToAll({ route: 'requeue', names, json: {}, signal }), 'rows');
  const rowsMax = (await wire.limits(signal)).listRowsMax;
  return sumOf(await sendIds(target, ids, { route: 'requeue', names, rowsMax, signal }), 'rows');
}

export async function resetConsumption(
  { wire, partition }: Target,
  task: string,
  signal?: AbortSignal,
): Promise<number> {
  return sumOf(await wire.sendToAll({ route: 'reset', names: { partition, task }, signal }), 'rows');
}

export async function whyHeld(target: Target, id: number, signal?: AbortSignal): Promise<HeldRow> {
  const { wire, partition, groupSize } = target;
  const names = { partition, id: String(toIds([id])[0]) };
  const [answer] = await wire.eachShare({ ids: [id], groupSize, signal }, ({ node }) =>
    wire.sendForJson({ url: node.url, route: 'held', names, signal }),
  );
  const held = answer as unknown as HeldRow;
  const fields = Object.entries(held.fields).map(([name, field]) => [name, camelKeys({ ...field })]);
  return {
    ...held,
    fields: Object.fromEntries(fields) as Record<string, HeldField>,
    claims: held.claims.map((claim) => camelKeys({ ...claim }) as unknown as HeldClaim),
    retention: held.retention && camelKeys({ ...held.retention }),
  };
}

interface WholeCall {
  readonly route: RouteName;
  readonly json?: unknown;
  readonly signal: AbortSignal | undefined;
}

/** A call about the whole partition, at every node. */
function sendToAll({ wire, partition }: Target, call: WholeCall): Promise<JsonObject[]> {
  return wire.sendToAll({ ...call, names: { partition } });
}
