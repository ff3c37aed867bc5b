/** A put whose event would be longer than recovery reads is refused, not acknowledged and lost. */
import { schemaMessage, batchMessage, EOS } from '@transfer-queue/core/arrow';
import { expect, test } from 'vitest';
import { declareTest, openTestNode, putBody } from '../../support/node.ts';
import { simEnv } from '../../support/sim_env.ts';

test('1,024 batches of 800 columns are too many for one event', async () => {
  const columns = 800;
  const fields = Array.from({ length: columns }, (_, i) => ({
    name: `f${i}`,
    layout: { layout: 'scalar', dtype: 'uint8' } as const,
  }));
  const parts: Uint8Array[] = [schemaMessage(fields)];
  for (let id = 0; id < 1_024; id++) {
    const regions = [0, 0, 0, 8];
    for (let i = 0; i < columns; i++) regions.push(8, 0, 8 * (i + 1), 1);
    const bodyLength = 8 * (columns + 1);
    const body = Buffer.alloc(bodyLength);
    body.writeUInt32LE(id, 0);
    const nodes = new Array<number>(columns + 1).fill(1);
    parts.push(batchMessage({ rows: 1, nodes, regions, bodyLength }), body);
  }
  const { node } = await openTestNode(simEnv(), '/data', 128 << 20);
  await declareTest(node, 'p');
  const putting = putBody(node, 'p', Buffer.concat([...parts, EOS]));
  await expect(putting).rejects.toMatchObject({ code: 'too_many_batches' });
});
