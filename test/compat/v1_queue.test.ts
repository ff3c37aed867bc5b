/** Directories with all that a queue keeps, left by format version 1: later versions say the same of them. */
import { beforeAll, describe, expect, test } from 'vitest';
import { endClaim } from '../../server/engine/claims.ts';
import type { Node } from '../../server/engine/node.ts';
import { tagRows } from '../../server/engine/tags.ts';
import { resetTask } from '../../server/engine/tasks.ts';
import { download } from '../server/engine/blob_world.ts';
import { claimOf, readText } from '../support/node.ts';
import { PART, tellQueue, type QueueTokens } from './queue_world.ts';
import { factsOf, thawed } from './thawed.ts';

type Facts = QueueTokens & { readonly told: Record<string, unknown> };

describe.each(['v1-queue', 'v1-queue-tree'])('the directory %s', (name) => {
  const facts = factsOf<Facts>(name);
  const opened = thawed(name);
  let node: Node;

  beforeAll(() => {
    ({ node } = opened());
  });

  test('says what it said: settings, counts, tags, numbers, leases, dead letters', async () => {
    expect(opened().recovery.cut).toMatchObject({ reason: 'a torn write' });
    expect(await tellQueue(node)).toMatchObject(facts.told);
  });

  test('has its rows and blobs', async () => {
    expect(await readText(node, 'loaded', [0, 7, 8], ['a'])).toMatchObject({ a: ['a 0', 'a 7', 'a 8'] });
    await expect(readText(node, 'window', [1], ['a'])).rejects.toMatchObject({ code: 'rows_missing' });
    expect([await download(node, 'images', 'cat'), await download(node, 'images', 'dog')]).toEqual(['cat', 'dog']);
  });

  test('answers requests and parts of batches as before', async () => {
    const patch = { ids: Float64Array.of(2, 4), tags: ['{"status":"again"}'], requestId: 'tag-1' };
    expect(await tagRows(node, { partition: 'steps', ...patch })).toEqual({ lsn: facts.tagLsn, rows: 2 });
    const reset = await resetTask(node, { partition: 'steps', task: 'look' }, 'reset-1');
    expect(reset.lsn).toBe(facts.resetLsn);
    const again = await claimOf(node, 'steps', { task: 'train', fields: ['a'], requestId: 'claim-1' });
    if (again.kind !== 'claimed') throw new Error('not claimed');
    expect(again.token).toBe(facts.liveToken);
    const parts = await Promise.all(
      [0, 1].map((part) =>
        claimOf(node, 'steps', { task: 'ranks', fields: ['a'], rowsMax: 4, batch: { ...PART, part } }),
      ),
    );
    const ids = parts.map((part) => (part.kind === 'claimed' ? [...part.located.ids] : part.kind));
    expect(ids).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  test('goes on: leases end, tasks draw what is left', async () => {
    await endClaim(node, facts.liveToken, 'ack', '');
    await endClaim(node, facts.rankToken, 'ack', '');
    const look = await claimOf(node, 'steps', { task: 'look', fields: ['a'] });
    expect(look.kind === 'claimed' && [...look.located.ids]).toEqual([3, 4, 5, 6, 7]);
    const train = await claimOf(node, 'steps', { task: 'train', fields: ['a'] });
    expect(train.kind === 'claimed' && [...train.located.ids].length).toBeGreaterThan(0);
  });
});
