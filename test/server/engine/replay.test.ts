/** Puts that a start applies at once leave the state that they left one by one. RUNS=n tries more seeds. */
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { NodeState } from '../../../server/engine/state.ts';
import { claimOf, declareTest, openTestNode, putText } from '../../support/node.ts';
import { runsOr } from '../../support/runs.ts';
import { seededRandom, settle, simEnv, SimFs, type SimEnv } from '../../support/sim_env.ts';
import { dumpNode } from './node_dump.ts';

const DIR = '/data';
const FIELDS = new Map(['a', 'b'].map((name) => [name, { layout: 'bytes' } as const]));
const PARTITIONS = ['plain', 'grouped', 'aged'];

async function open(env: SimEnv): Promise<OpenedNode & { env: SimEnv }> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

async function declareAll({ node }: OpenedNode): Promise<void> {
  await declareTest(node, 'plain', { fields: FIELDS, ack: 'os' });
  await declareTest(node, 'grouped', { fields: FIELDS, ack: 'os', groupSize: 3 });
  const queue = { tasks: ['t'].map((name) => ({ name })), retention: { ageMsMax: 5_000 } };
  await declareTest(node, 'aged', { fields: FIELDS, ack: 'os', queue });
}

/** Bursts of small puts, now and then of rows that are there or come twice. */
async function work({ node, env }: OpenedNode & { env: SimEnv }, random: () => number): Promise<void> {
  const int = (end: number): number => Math.floor(random() * end);
  for (let burst = 0; burst < 12; burst++) {
    const partition = PARTITIONS[int(3)];
    const first = int(3) === 0 ? int(40) : 100 * burst + int(1_000) * 10_000;
    const puts: Promise<unknown>[] = [];
    for (let put = 0, id = first; put < 10; put++) {
      const ids = Array.from({ length: int(4) === 0 ? 2 : 1 }, () => (int(12) === 0 ? id++ : (id += 1 + int(3))));
      const rows = [...new Set(ids)];
      const requestId = int(4) === 0 ? `request ${burst} ${put} ${first}` : '';
      const field = int(10) === 0 ? 'b' : 'a';
      puts.push(
        putText(
          node,
          partition,
          rows,
          field,
          rows.map((id) => `${id}`.padStart(8, '0')),
          { requestId, ack: int(9) === 0 ? 'disk' : null },
        ),
      );
      if (int(8) === 0) id = first;
    }
    await Promise.all(puts);
    await env.clock.advance(int(200));
    if (int(2) === 0) await claimAndAck(node, partition);
    if (int(4) === 0) await deleteRows(node, partition, { ids: Float64Array.of(first + 1, first + 4), requestId: '' });
    if (int(12) === 0) await node.checkpoints.run();
  }
}

async function claimAndAck(node: OpenedNode['node'], partition: string): Promise<void> {
  const claim = await claimOf(node, partition, { fields: ['a'], rowsMax: 5 });
  if (claim.kind !== 'claimed') return;
  claim.located.close();
  await endClaim(node, claim.token, 'ack', '');
}

let togetherInAll = 0;

afterEach(() => void vi.restoreAllMocks());
afterAll(() => expect(togetherInAll).toBeGreaterThan(100));

test.each(Array.from({ length: runsOr(15) }, (_, i) => i + 1))('seed %i', async (seed) => {
  const random = seededRandom(seed);
  let node = await open(simEnv(SimFs.withReserve(DIR)));
  await declareAll(node);
  let together = 0;
  const { applyInsertRun } = NodeState.prototype;
  vi.spyOn(NodeState.prototype, 'applyInsertRun').mockImplementation(function (this: NodeState, run, placed) {
    if (run.count > 1) together += run.count;
    return applyInsertRun.call(this, run, placed);
  });
  for (let crash = 0; crash < 3; crash++) {
    const togetherBefore = together;
    await work(node, random);
    await settle();
    expect(together).toBe(togetherBefore);
    // Whoever looks at a node changes what it has made: some go on without having been looked at.
    const looks = crash === 2 || seed % 2 === 0;
    const before = looks ? await dumpNode(node.node) : null;
    const again = await open(simEnv(node.env.fs.afterCrash(), node.env.clock));
    if (looks) expect(await dumpNode(again.node)).toEqual(before);
    node = again;
  }
  togetherInAll += together;
  expect(node.env.crashes).toEqual([]);
});
