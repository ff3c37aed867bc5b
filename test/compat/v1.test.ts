/** Data directories that format version 1 left when it was killed open and read the same, in all later versions. */
import { beforeAll, describe, expect, test } from 'vitest';
import { endClaim } from '../../server/engine/claims.ts';
import type { Node } from '../../server/engine/node.ts';
import { readCell } from '../../server/engine/read.ts';
import { Holds } from '../../server/store/extents.ts';
import { claimOf, putText, readText, valuesOf } from '../support/node.ts';
import { factsOf, thawed } from './thawed.ts';

interface Facts {
  readonly putLsn: number;
  readonly lsn: number;
  readonly liveToken: string;
  readonly ackedToken: string;
  readonly releasedToken: string;
}

async function matrixOf(node: Node, id: number): Promise<number[]> {
  const located = await readCell(node, { partition: 'train', id, field: 'matrix' });
  const [{ field, batches, ordinals }] = located.columns;
  const { extent, regions } = located.batches[batches[0]];
  const holds = new Holds();
  const bytes = await node.parts.reader.whole(extent, regions[field.id]![0] + 16 * ordinals[0], 16, holds);
  const values = [0, 4, 8, 12].map((at) => bytes.readFloatLE(at));
  node.parts.reader.release(holds);
  located.close();
  return values;
}

const directories = [
  { name: 'v1', events: 27 },
  { name: 'v1-tree', events: 6 },
];

describe.each(directories)('the directory $name', ({ name, events }) => {
  const facts = factsOf<Facts>(name);
  const opened = thawed(name);
  let node: Node;

  beforeAll(() => {
    ({ node } = opened());
  });

  test('opens: what was torn is cut, nothing is left out', () => {
    expect(opened().recovery).toMatchObject({ events, partitions: 3, voided: [] });
    expect(opened().recovery.cut).toMatchObject({ size: 20, reason: 'a torn write' });
    expect(node.parts.journal.lsn).toBeGreaterThan(facts.lsn);
  });

  test('has its rows, the newest cell of each field', async () => {
    const prompts = ['after the claim', 'TWO', 'three', '', 'above the watermark'];
    expect(await readText(node, 'train', [1, 2, 3, 4, 5], ['prompt'])).toMatchObject({ prompt: prompts });
    expect(await readText(node, 'train', [2], ['response'])).toMatchObject({ response: ['answer'] });
    expect([await matrixOf(node, 4), await matrixOf(node, 1)]).toEqual([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ]);
    const ids = [2 ** 40, 2 ** 53 - 1];
    expect(await readText(node, 'done', ids)).toMatchObject({ a: ['high', 'end'] });
  });

  test('lacks what was deleted, dropped or in memory only', async () => {
    await expect(readText(node, 'train', [9], ['prompt'])).rejects.toMatchObject({ code: 'rows_missing' });
    expect(() => node.partition('gone')).toThrow('partition_unknown');
    await expect(readText(node, 'scratch', [1], [])).rejects.toMatchObject({ code: 'rows_missing' });
  });

  test('keeps declarations, seals and request ids', async () => {
    expect(node.partition('train').settings).toMatchObject({ groupSize: 2, ack: 'os', open: true });
    expect(node.partition('scratch').settings.ack).toBe('memory');
    await expect(putText(node, 'done', [7], 'a', ['x'])).rejects.toMatchObject({ code: 'partition_sealed' });
    const retry = await putText(node, 'train', [1], 'prompt', ['retry'], { requestId: 'put-1' });
    expect(retry).toMatchObject({ lsn: facts.putLsn, rows: 4 });
  });

  test('keeps claims: tokens, what they granted, how they ended', async () => {
    const again = await claimOf(node, 'train', { fields: ['prompt'], requestId: 'claim-1' });
    if (again.kind !== 'claimed') throw new Error('not claimed');
    expect(again.token).toBe(facts.liveToken);
    expect(await valuesOf(node, again.located)).toMatchObject({ index_id: ['1'], prompt: ['one'] });
    await endClaim(node, facts.liveToken, 'ack', '');
    await expect(endClaim(node, facts.releasedToken, 'ack', '')).rejects.toMatchObject({ code: 'claim_stale' });
    await expect(endClaim(node, facts.ackedToken, 'release', '')).rejects.toMatchObject({ code: 'claim_stale' });
    const rest = await claimOf(node, 'train', { fields: ['prompt'] });
    if (rest.kind !== 'claimed') throw new Error('not claimed');
    expect([...rest.located.ids]).toEqual([3, 4, 5]);
    expect([...rest.attempts]).toEqual([2, 1, 1]);
    rest.located.close();
  });
});
