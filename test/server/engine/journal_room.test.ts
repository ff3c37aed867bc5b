/** A journal that the disk does not take: what may be long waits, the rest goes on, nothing is lost or piles up. */
import { batchMessage, EOS, schemaMessage } from '@transfer-queue/core/arrow';
import { describe, expect, test } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { Node } from '../../../server/engine/node.ts';
import type { PutAnswer } from '../../../server/engine/put.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { RESERVE_SIZE } from '../../../server/journal/reserve.ts';
import { claimOf, declareTest, openTestNode, putBody, putText, readText } from '../../support/node.ts';
import { settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';
const MEMORY_SIZE = 96 << 20;
const WAITING_SIZE_MAX = RESERVE_SIZE / 2;
const PUTS = 7;
/** Of each put: its event names the place of each column of each batch, one row each. */
const BATCHES = 256;
const COLUMNS = 512;
const EVENT_SIZE_MIN = 8 * BATCHES * COLUMNS;
const EVENT_SIZE_MAX = 3 * EVENT_SIZE_MIN;

const bodies = Array.from({ length: PUTS }, (_, put) => wideBody(put * BATCHES));

function wideBody(idFirst: number): Buffer {
  const layout = { layout: 'scalar', dtype: 'uint8' } as const;
  const parts = [schemaMessage(Array.from({ length: COLUMNS }, (_, column) => ({ name: `f${column}`, layout })))];
  const regions = [0, 0, 0, 8, ...Array.from({ length: COLUMNS }, (_, i) => [8, 0, 8 * (i + 1), 1]).flat()];
  const nodes = new Array<number>(COLUMNS + 1).fill(1);
  const bodyLength = 8 * (COLUMNS + 1);
  for (let batch = 0; batch < BATCHES; batch++) {
    const body = Buffer.alloc(bodyLength);
    body.writeUInt32LE(idFirst + batch, 0);
    parts.push(batchMessage({ rows: 1, nodes, regions, bodyLength }), body);
  }
  return Buffer.concat([...parts, EOS]);
}

interface Stalled {
  readonly node: Node;
  readonly env: SimEnv;
  /** By put; those that the journal had no room for wait. */
  readonly puts: readonly Promise<PutAnswer>[];
  /** The disk takes what waits. */
  open(): void;
}

/** A node whose journal holds as much as it may, and puts for which it has no room. */
async function stalled(): Promise<Stalled> {
  const env = simEnv(SimFs.withReserve(DIR));
  const { node } = await openTestNode(env, DIR, MEMORY_SIZE);
  await declareTest(node, 'p', { groupSize: 2 });
  await declareTest(node, 'small');
  await declareTest(node, 'volatile', { ack: 'memory', fields: new Map([['a', { layout: 'bytes' }]]) });
  await putText(node, 'small', [1, 2, 3], 'a', ['one', 'two', 'three']);
  const { promise, resolve } = Promise.withResolvers<void>();
  env.fs.gate = (action, path) => (action === 'write' && path.includes('/journal/') ? promise : Promise.resolve());
  // The write that does not end.
  const first = putText(node, 'small', [4], 'a', ['four']);
  await settle();
  const puts = bodies.map((body) => putBody(node, 'p', body));
  for (const put of [first, ...puts]) put.catch(() => undefined);
  for (let turn = 0; turn < 100; turn++) await settle();
  expect(node.parts.journal.unwrittenSize).toBeGreaterThanOrEqual(WAITING_SIZE_MAX);
  return { node, env, puts, open: resolve };
}

describe('while the disk does not take the journal', () => {
  test('so many bytes of events wait, no more; claims, acks and puts to memory go on', async () => {
    const { node, env, puts, open } = await stalled();
    const { journal } = node.parts;
    expect(journal.unwrittenSize).toBeLessThan(WAITING_SIZE_MAX + EVENT_SIZE_MAX);
    const { lsn } = journal;
    let done = 0;
    const after = (work: Promise<unknown>): Promise<unknown> => work.then(() => done++);
    const claiming = claimOf(node, 'small', { fields: ['a'], rowsMax: 2 });
    await settle();
    expect(journal.lsn).toBe(lsn + 1);
    const waiting = [
      after(deleteRows(node, 'small', { ids: Float64Array.of(3), requestId: '' })),
      after(declareTest(node, 'new')),
      after(putText(node, 'small', [5], 'a', ['five'])),
    ];
    await putText(node, 'volatile', [1], 'a', ['volatile']);
    await settle();
    expect([journal.lsn, done]).toEqual([lsn + 2, 0]);
    open();
    const claim = await claiming;
    if (claim.kind !== 'claimed') throw new Error('not claimed');
    claim.located.close();
    await endClaim(node, claim.token, 'ack', '');
    await Promise.all([...puts, ...waiting]);
    const lsns = (await Promise.all(puts)).map((answer) => answer.lsn);
    expect(new Set(lsns).size).toBe(PUTS);
    const { node: again } = await openTestNode(simEnv(env.fs.afterCrash()), DIR, MEMORY_SIZE);
    expect(again.parts.state.store.partition('new')).toBeDefined();
    expect((await readText(again, 'small', [1, 2, 4, 5])).a).toEqual(['one', 'two', 'four', 'five']);
    const ids = bodies.map((_, put) => put * BATCHES + put);
    expect((await readText(again, 'p', ids, [])).index_id).toEqual(ids.map(String));
    expect(env.crashes).toEqual([]);
  });

  test('who waited too long is refused and leaves nothing, and may try again', async () => {
    const { node, env, puts, open } = await stalled();
    const { lsn } = node.parts.journal;
    const outcomes = puts.map((put) =>
      put.then(
        () => 'done',
        (error: { code: string }) => error.code,
      ),
    );
    await env.clock.advance(11_000);
    expect(node.parts.journal.lsn).toBe(lsn);
    open();
    const ended = await Promise.all(outcomes);
    const refused = [...ended.keys()].filter((put) => ended[put] === 'memory_full');
    expect(ended.filter((outcome) => outcome === 'done')).toHaveLength(PUTS - refused.length);
    expect(PUTS - refused.length).toBeLessThanOrEqual(Math.ceil(WAITING_SIZE_MAX / EVENT_SIZE_MIN));
    const id = refused[0] * BATCHES;
    await expect(readText(node, 'p', [id], [])).rejects.toMatchObject({ code: 'rows_missing' });
    await putBody(node, 'p', bodies[refused[0]]);
    expect((await readText(node, 'p', [id], [])).index_id).toEqual([String(id)]);
  });
});
