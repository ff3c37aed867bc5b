import { describe, expect, it } from 'vitest';
import { scalar, type ConsumeOptions, type Partition } from '../../ts-sdk/index.ts';
import { rejection, rig, until, type Rig } from './support.ts';

const step: ConsumeOptions = { task: 'step', fields: ['x'], batchSize: 2 };

async function rigWithRows(count: number): Promise<Rig & { train: Partition }> {
  const made = await rig();
  const train = await made.tq.partition('train', { fields: { x: scalar('int32') } });
  const ids = Array.from({ length: count }, (_, i) => i);
  if (count > 0) await train.put({ x: ids }, { ids });
  return { ...made, train };
}

describe('consume', () => {
  it('gives every row once, and ends when the partition is drained', async () => {
    const { train } = await rigWithRows(5);
    await train.seal();
    const seen: number[] = [];
    for await (const batch of train.consume(step)) {
      seen.push(...batch.ids);
      await batch.ack();
    }
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect((await train.stats()).tasks.step).toEqual({ leased: 0, consumed: 5, claims: 0 });
  });

  it('releases the batch at hand when the loop is left by break', async () => {
    const { fake, train } = await rigWithRows(4);
    for await (const batch of train.consume(step)) if (batch.rows > 0) break;
    expect([...fake.claims.values()].map(({ state }) => state)).toEqual(['released']);
  });

  it('releases the batch at hand when the loop is left by an error, and lets the error through', async () => {
    const { fake, train } = await rigWithRows(4);
    fake.fail('release', { kind: 'answer', status: 507, code: 'disk_full' });
    const loop = async (): Promise<void> => {
      for await (const batch of train.consume(step)) throw new Error(`step failed at ${batch.ids.join()}`);
    };
    expect((await rejection(loop())).message).toBe('step failed at 0,1');
    expect((await rejection(loop())).message).toBe('step failed at 2,3');
    expect([...fake.claims.values()].map(({ state }) => state)).toEqual(['held', 'released']);
  });

  it('releases a batch that is not acked when the next one is asked for', async () => {
    const { fake, train } = await rigWithRows(4);
    const consumer = train.consume(step);
    const first = await consumer.next();
    const second = await consumer.next();
    expect([first.value!.isHeld, second.value!.isHeld]).toEqual([false, true]);
    await consumer.return();
    expect([...fake.claims.values()].map(({ state }) => state)).toEqual(['released', 'released']);
  });

  it('waits for an ack that is under way', async () => {
    const { fake, train } = await rigWithRows(4);
    for await (const batch of train.consume(step)) {
      void batch.ack();
      break;
    }
    expect([...fake.claims.values()].map(({ state }) => state)).toEqual(['acked']);
  });

  it('ends a wait by its signal, with the reason', async () => {
    const { fake, train } = await rigWithRows(0);
    const controller = new AbortController();
    const waiting = rejection(train.consume({ ...step, signal: controller.signal }).next());
    await until(() => fake.count('claim') === 1);
    controller.abort(new Error('enough'));
    expect((await waiting).message).toBe('enough');
  });

  it('ends a wait when the consumer is returned or disposed of', async () => {
    const { fake, train } = await rigWithRows(0);
    const consumer = train.consume(step);
    const waiting = consumer.next();
    await until(() => fake.count('claim') === 1);
    await consumer[Symbol.asyncDispose]();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await consumer.next()).toEqual({ done: true, value: undefined });
  });

  it('throws when no batch comes within waitMs', async () => {
    const { train } = await rigWithRows(1);
    expect(await rejection(train.consume({ ...step, waitMs: 1 }).next())).toMatchObject({
      code: 'timed_out',
      details: { ready: 1, leased: 0, incomplete: 0 },
    });
  });

  it('goes on through lost answers and a server that is away for a while', async () => {
    const { fake, train } = await rigWithRows(6);
    await train.seal();
    const away = { kind: 'answer', status: 503, code: 'not_ready' } as const;
    fake.fail('claim', { kind: 'break', acts: true }, away, { kind: 'half' });
    fake.fail('ack', { kind: 'break', acts: true }, away, { kind: 'break', acts: false });
    const seen: number[] = [];
    for await (const batch of train.consume(step)) {
      seen.push(...batch.ids);
      await batch.ack();
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
