/**
 * What a start makes of what a crash left: several crashes in a row, lost bytes, missing files, full disks. Each test
 * is one way in which an acknowledged row could be lost, other bytes be shown, or a directory not open again.
 */
import { describe, expect, test } from 'vitest';
import { endClaim } from '../../../server/engine/claims.ts';
import type { OpenedNode } from '../../../server/engine/open.ts';
import { deleteRows } from '../../../server/engine/partitions.ts';
import { listDeadLetters, listLeases, requeue } from '../../../server/engine/tasks.ts';
import { claimOf, declareTest, openTestNode, putText, readText, valuesOf } from '../../support/node.ts';
import { simEnv, SimFs, type PowerCut, type SimEnv } from '../../support/sim_env.ts';

const DIR = '/data';

const only: Readonly<Record<'synced' | 'journal' | 'segments' | 'written', PowerCut>> = {
  /** Nothing but what was synced. */
  synced: { keep: (_, __, durable) => durable },
  /** The whole journal, but of the segments what was synced. */
  journal: { keep: (path, current, durable) => (path.includes('segments') ? durable : current) },
  /** All bytes of the segments, but of the journal what was synced. */
  segments: { keep: (path, current, durable) => (path.includes('segments') ? current : durable) },
  /** All that was written. */
  written: { keep: (_, current) => current, keepName: () => true },
};

async function open(env: SimEnv): Promise<OpenedNode & { env: SimEnv }> {
  return { ...(await openTestNode(env, DIR, 10 << 20)), env };
}

function newDisk(): SimEnv {
  return simEnv(SimFs.withReserve(DIR));
}

function afterKill({ env }: { env: SimEnv }): ReturnType<typeof open> {
  return open(simEnv(env.fs.afterCrash(), env.clock));
}

function afterPowerCut({ env }: { env: SimEnv }, cut: PowerCut): ReturnType<typeof open> {
  return open(simEnv(env.fs.afterPowerCut(cut), env.clock));
}

describe('one crash after another', () => {
  test('a put that was left out stays out, although its LSN is below the watermark by then', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['lost']);
    const second = await afterPowerCut(first, only.journal);
    expect(second.recovery.voided).toHaveLength(1);
    await putText(second.node, 'p', [2], 'a', ['later']);
    await second.env.clock.advance(3_000);
    await putText(second.node, 'p', [3], 'a', ['last']);
    for (const third of [await afterKill(second), await afterPowerCut(second, only.journal)]) {
      await expect(readText(third.node, 'p', [1])).rejects.toMatchObject({ code: 'rows_missing' });
      expect(await readText(third.node, 'p', [2])).toMatchObject({ a: ['later'] });
    }
  });

  test('a row that is a dead letter without the claims of a lost put is not granted by a later one', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p', { queue: { tasks: [{ name: 'task', maxAttempts: 2 }] } });
    await putText(first.node, 'p', [1], 'a', ['kept'], { ack: 'disk' });
    await putText(first.node, 'p', [1], 'b', ['lost']);
    const grantAndRelease = async (fields: readonly string[]): Promise<void> => {
      const claim = await claimOf(first.node, 'p', { fields });
      if (claim.kind !== 'claimed') throw new Error(claim.kind);
      await endClaim(first.node, claim.token, 'release', '');
    };
    await grantAndRelease(['a', 'b']);
    await grantAndRelease(['a']);
    expect(await requeue(first.node, { partition: 'p', task: 'task' }, null)).toMatchObject({ rows: 1 });
    await grantAndRelease(['a']);
    await claimOf(first.node, 'p', { fields: ['a'] });
    const second = await afterPowerCut(first, only.journal);
    expect(second.recovery.voided).toHaveLength(1);
    const page = { from: 0, rowsMax: 10 };
    const letters = await listDeadLetters(second.node, { partition: 'p', task: 'task' }, page);
    expect(letters).toEqual({ ids: [1], attempts: [2], next: null });
    expect(await listLeases(second.node, 'p')).toEqual([]);
  });

  test('kill -9 and then a power cut: unsynced `os` puts are gone as a whole, not damaged', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['one']);
    const second = await afterKill(first);
    expect(await readText(second.node, 'p', [1])).toMatchObject({ a: ['one'] });
    await putText(second.node, 'p', [2], 'a', ['two'], { ack: 'disk' });
    const third = await afterPowerCut(second, only.synced);
    const outcome = await readText(third.node, 'p', [1]).catch((error: unknown) => (error as { code: string }).code);
    expect([{ index_id: ['1'], a: ['one'] }, 'rows_missing']).toContainEqual(outcome);
  });

  test('a start that is cut down at any change of the disk is started again', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p', { ack: 'disk' });
    await putText(first.node, 'p', [1], 'a', ['one']);
    await putText(first.node, 'p', [2], 'a', ['two']);
    const env = simEnv(first.env.fs.afterPowerCut(only.synced), first.env.clock);
    const images: SimEnv['fs'][] = [];
    env.fs.onChange = () => {
      for (const cut of [only.synced, only.written]) images.push(env.fs.afterPowerCut(cut));
      images.push(env.fs.afterCrash());
    };
    await open(env);
    expect(images.length).toBeGreaterThan(8);
    for (const fs of images) {
      const again = await open(simEnv(fs, env.clock));
      expect(await readText(again.node, 'p', [1, 2])).toMatchObject({ a: ['one', 'two'] });
    }
  });
});

describe('the journal rolls', () => {
  const headers: Readonly<Record<string, Buffer>> = {
    empty: Buffer.alloc(0),
    short: Buffer.from('TQJO'),
    zero: Buffer.alloc(48),
  };

  test.each(Object.entries(headers))('a roll that ended with an %s header is made up for', async (_, header) => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['one']);
    await first.close();
    const fs = first.env.fs.afterCrash();
    fs.files.set(`${DIR}/journal/000000000002.tqj`, { current: Buffer.from(header), durable: Buffer.alloc(0) });
    let opened = await open(simEnv(fs));
    expect(opened.recovery.cut?.reason).toBe('an interrupted roll');
    for (let id = 2; id < 5; id++) {
      await putText(opened.node, 'p', [id], 'a', [`value ${id}`]);
      opened = await afterKill(opened);
    }
    expect(await readText(opened.node, 'p', [1, 2, 3, 4])).toMatchObject({
      a: ['one', 'value 2', 'value 3', 'value 4'],
    });
  });

  test('a directory whose first start ended before the first record opens', async () => {
    const env = newDisk();
    env.fs.files.set(`${DIR}/journal/000000000001.tqj`, { current: Buffer.alloc(0), durable: Buffer.alloc(0) });
    const first = await open(env);
    await declareTest(first.node, 'p');
    const second = await afterKill(first);
    expect(second.node.partition('p').settings.name).toBe('p');
  });
});

describe('what must not be mistaken', () => {
  test('segments without a journal are not taken for a new directory', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['one']);
    await first.close();
    const fs = first.env.fs.afterCrash();
    fs.files.delete(`${DIR}/journal/000000000001.tqj`);
    await expect(open(simEnv(fs)).then(() => 'opened')).rejects.toMatchObject({ name: 'RecoveryError' });
    expect([...fs.files.keys()].some((path) => path.endsWith('.seg'))).toBe(true);
  });

  test('LSNs of `memory` events below the watermark do not make a torn write a damage', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'm', { ack: 'memory' });
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['one']);
    for (let id = 0; id < 5; id++) await putText(first.node, 'm', [id], 'a', ['x']);
    await first.env.clock.advance(2_000);
    const { current } = first.env.fs.files.get(`${DIR}/journal/000000000001.tqj`)!;
    const synced = current.length;
    await putText(first.node, 'p', [2], 'a', ['two']);
    await putText(first.node, 'p', [3], 'a', ['three']);
    const second = await afterPowerCut(first, {
      keep: (path, bytes) => (path.includes('journal') ? Buffer.from(bytes).fill(0, synced, synced + 8) : bytes),
    });
    expect(second.recovery.cut).not.toBeNull();
    expect(await readText(second.node, 'p', [1])).toMatchObject({ a: ['one'] });
  });
});

test('what a claim granted stays until its ack is durable, also when the rows were deleted long before', async () => {
  const first = await open(newDisk());
  await declareTest(first.node, 'p');
  const granted = 'granted'.padEnd(400_000);
  await putText(first.node, 'p', [1], 'a', [granted]);
  const claim = await claimOf(first.node, 'p', { fields: ['a'], requestId: 'c1' });
  if (claim.kind !== 'claimed') throw new Error('not claimed');
  claim.located.close();
  await deleteRows(first.node, 'p', { ids: Float64Array.of(1), requestId: '' });
  await first.env.clock.advance(2_500);
  await endClaim(first.node, claim.token, 'ack', '');
  await first.node.parts.segments.reclaim(first.node.parts.journal.durableLsn);
  await putText(first.node, 'p', [2], 'a', ['other bytes'.padEnd(400_000)]);
  const second = await afterPowerCut(first, only.segments);
  const again = await claimOf(second.node, 'p', { fields: ['a'], requestId: 'c1' });
  if (again.kind !== 'claimed') throw new Error('the ack was not durable');
  expect(await valuesOf(second.node, again.located)).toMatchObject({ a: [granted] });
});

describe('a full disk', () => {
  test('is no reason not to start: the reserve of the run before serves this one', async () => {
    const first = await open(newDisk());
    await declareTest(first.node, 'p');
    await putText(first.node, 'p', [1], 'a', ['x']);
    await first.close();
    const fs = first.env.fs.afterCrash();
    fs.free = 0;
    fs.faults.push({ action: 'write', path: /journal/, code: 'ENOSPC', times: 1, partial: 10 });
    const second = await open(simEnv(fs));
    expect(await readText(second.node, 'p', [1])).toMatchObject({ a: ['x'] });
    const claim = await claimOf(second.node, 'p', { fields: ['a'] });
    await endClaim(second.node, claim.kind === 'claimed' ? claim.token : '', 'ack', '');
    await expect(putText(second.node, 'p', [2], 'a', ['y'])).rejects.toMatchObject({ code: 'disk_full' });
  });
});
