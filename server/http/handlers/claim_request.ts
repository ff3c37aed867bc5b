/** A claim's JSON body as the engine takes it: with defaults filled in; words that do not go together are refused. */
import { defaults, type ClaimRequest } from '@transfer-queue/core/protocol';
import type { ClaimTake } from '../../engine/commands.ts';
import { StoreError } from '../../errors.ts';

export function claimTake(body: ClaimRequest, given: Pick<ClaimTake, 'partition' | 'requestId'>): ClaimTake {
  const sampler = body.sampler ?? defaults.sampler;
  checkTogether(body, sampler);
  const rowsMax = body.ids?.length ?? body.rows_max!;
  const { tokens, window, group, batch } = body;
  return {
    ...given,
    task: body.task,
    fields: body.fields,
    rowsMax,
    rowsMin: body.rows_min ?? (body.ids === undefined ? rowsMax : 1),
    sampler,
    by: body.by,
    seed: body.seed,
    where: body.where,
    ids: body.ids && Float64Array.from(body.ids),
    tokens: tokens && { max: tokens.max, by: tokens.by ?? defaults.lengthBy },
    window: window && {
      by: window.by ?? defaults.versionBy,
      minVersion: window.min_version,
      maxStaleness: window.max_staleness,
      onStale: window.on_stale ?? defaults.onStale,
    },
    group: group && { by: group.by, survivorsMin: group.survivors_min, waitMs: group.wait_ms ?? 0 },
    batch: batch && {
      name: batch.name,
      number: batch.number,
      part: batch.part ?? 0,
      parts: batch.parts ?? 1,
      balanceBy: batch.balance_by,
    },
    partial: body.partial,
    lingerMs: body.linger_ms,
    leaseMs: body.lease_ms ?? defaults.leaseMs,
    waitMs: body.wait_ms ?? defaults.waitMs,
    autoAck: body.auto_ack ?? false,
  };
}

function checkTogether(body: ClaimRequest, sampler: string): void {
  const { ids, rows_max: rowsMax, rows_min: rowsMin = 1, by, seed, tokens, group, batch } = body;
  if (ids === undefined && rowsMax === undefined) refuse('/rows_max', 'is needed without ids');
  if (rowsMin > (ids?.length ?? rowsMax!)) refuse('/rows_min', ids === undefined ? 'exceeds rows_max' : 'exceeds ids');
  if (ids !== undefined) {
    const others = { rows_max: rowsMax, sampler: body.sampler, tokens, group, batch };
    for (const [word, value] of Object.entries(others)) if (value !== undefined) refuse(`/${word}`, 'ids say it all');
    if (new Set(ids).size < ids.length) throw new StoreError('ids_duplicate');
  }
  const isPlain = sampler === 'fifo' || sampler === 'group';
  if (by !== undefined && isPlain) refuse('/by', `the sampler ${sampler} goes by no number`);
  if (seed !== undefined && (isPlain || sampler === 'priority')) refuse('/seed', `${sampler} draws nothing by chance`);
  if (group !== undefined && sampler !== 'group') refuse('/group', 'is of the sampler group');
  if (group?.wait_ms !== undefined && group.survivors_min === undefined) {
    refuse('/group/wait_ms', 'is how long survivors_min waits for the others');
  }
  if (batch !== undefined && (batch.part ?? 0) >= (batch.parts ?? 1)) refuse('/batch/part', 'is not below parts');
}

function refuse(at: string, reason: string): never {
  throw new StoreError('json_invalid', { at, reason });
}
