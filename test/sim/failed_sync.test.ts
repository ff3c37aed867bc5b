/**
 * After a failed sync the system shows what it did not write, calls its pages clean, and lets later syncs succeed. The
 * process ends at that; the next one, on the same boot of the machine, must not promise what only the page cache has.
 */
import { expect, test } from 'vitest';
import type { OpenedNode } from '../../server/engine/open.ts';
import { declareTest, openTestNode, putText, readText } from '../support/node.ts';
import { simEnv, SimFs, type SimEnv } from '../support/sim_env.ts';
import { ignoreCrashErrors } from './crash_errors.ts';

ignoreCrashErrors();

const DIR = '/data';

async function open(fs: SimFs): Promise<OpenedNode & { readonly env: SimEnv }> {
  const env = simEnv(fs);
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

test.each(['journal', 'segments'])('what a failed sync of the %s left in the cache is written again', async (of) => {
  const first = await open(SimFs.withReserve(DIR));
  await declareTest(first.node, 'p');
  await putText(first.node, 'p', [1], 'a', ['durable'], { ack: 'disk' });
  await putText(first.node, 'p', [2], 'a', ['in the cache']);
  const { fs, clock, crashes } = first.env;
  fs.faults.push({ action: 'datasync', path: new RegExp(of), code: 'EIO', times: 1, marksClean: true });
  await clock.advance(3_000);
  expect(crashes[0]).toMatch(/^a sync of (the journal|a segment) failed$/);
  const second = await open(fs.afterCrash());
  expect(await readText(second.node, 'p', [1, 2])).toMatchObject({ a: ['durable', 'in the cache'] });
  await putText(second.node, 'p', [3], 'a', ['later'], { ack: 'disk' });
  const third = await open(second.env.fs.afterPowerCut({ keep: (_path, _current, durable) => durable }));
  expect(third.recovery).toMatchObject({ voided: [], cut: null });
  expect(await readText(third.node, 'p', [1, 2, 3])).toMatchObject({ a: ['durable', 'in the cache', 'later'] });
});
