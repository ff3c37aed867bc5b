import { describe, expect, it } from 'vitest';
import { rejection, rig, until } from './support.ts';

describe('exchange', () => {
  it('carries the headers of the protocol, one request id per call', async () => {
    const { fake, tq } = await rig({ token: 'secret' });
    await tq.limits();
    await tq.limits();
    const [first, second] = fake.seen;
    expect(first.headers).toMatchObject({ 'tq-protocol': '1', 'tq-want-tail': '1', authorization: 'Bearer secret' });
    expect(first.requestId).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(second.requestId).not.toBe(first.requestId);
  });

  it('goes out in one piece or many, and comes back the same', async () => {
    const { tq } = await rig();
    const train = await tq.partition('train', {});
    for (const count of [1, 1_000, 100_000, 1_000_000]) {
      const values = Float64Array.from({ length: count }, (_, i) => i);
      await train.put({ [`x${count}`]: [values], y: ['small'] }, { ids: [count] });
      const batch = await train.get([count], { fields: ['y', `x${count}`] });
      expect(Buffer.compare(batch.bytes.subarray(-8), Buffer.of(255, 255, 255, 255, 0, 0, 0, 0))).toBe(0);
      expect(batch.column(`x${count}`).row(0)).toEqual(values);
    }
  });

  it('does without checksums of answers when told to', async () => {
    const { fake, tq } = await rig({ checksums: false });
    const train = await tq.partition('train', {});
    await train.put({ x: Float32Array.of(1) }, { ids: [1] });
    expect((await train.get([1])).column('x').values).toEqual(Float32Array.of(1));
    expect(fake.seen.at(-1)!.headers['tq-want-tail']).toBeUndefined();
  });

  it('tries a flipped bit again, and throws when it stays', async () => {
    const { fake, tq, runtime } = await rig({ retry: { attemptsMax: 3 } });
    const train = await tq.partition('train', {});
    await train.put({ x: Float32Array.of(1) }, { ids: [1] });
    fake.fail('read', { kind: 'flip' });
    expect((await train.get([1])).column('x').values).toEqual(Float32Array.of(1));
    expect(runtime.pausesMs.length).toBe(1);
    fake.fail('read', { kind: 'flip' }, { kind: 'flip' }, { kind: 'flip' });
    expect(await rejection(train.get([1]))).toMatchObject({ code: 'checksum_mismatch', kind: 'retry' });
  });

  it('ends by its deadline when no answer comes', async () => {
    const { fake, tq } = await rig({ timeoutMs: 50 });
    fake.fail('limits', { kind: 'silence' });
    expect(await rejection(tq.limits())).toMatchObject({ code: 'deadline_exceeded', kind: 'retry', status: 0 });
  });

  it('ends with the reason of its signal, before and within the exchange', async () => {
    const { fake, tq } = await rig();
    const controller = new AbortController();
    fake.fail('limits', { kind: 'silence' });
    const call = rejection(tq.limits({ signal: controller.signal }));
    await until(() => fake.count('limits') === 1);
    controller.abort(new Error('enough'));
    expect((await call).message).toBe('enough');
    expect((await rejection(tq.limits({ signal: controller.signal }))).message).toBe('enough');
    expect(fake.count('limits')).toBe(1);
    expect((await tq.limits()).waitMsMax).toBe(60_000);
  });

  it('ends by its signal also while the limits are asked for', async () => {
    const { fake, tq } = await rig();
    const train = await tq.partition('train', {});
    fake.fail('limits', { kind: 'silence' });
    const controller = new AbortController();
    const call = rejection(train.get([1], { signal: controller.signal }));
    await until(() => fake.count('limits') === 1);
    controller.abort(new Error('enough'));
    expect((await call).message).toBe('enough');
    expect((await rejection(train.get([1], { signal: controller.signal }))).message).toBe('enough');
  });

  it('never goes out when it is aborted while it is queued', async () => {
    const { fake, tq } = await rig({ connectionsMax: 1 });
    fake.fail('limits', { kind: 'silence' });
    const first = new AbortController();
    const running = rejection(tq.limits({ signal: first.signal }));
    await until(() => fake.count('limits') === 1);
    const second = new AbortController();
    const queued = rejection(tq.limits({ signal: second.signal }));
    second.abort(new Error('changed my mind'));
    expect((await queued).message).toBe('changed my mind');
    first.abort(new Error('enough'));
    await running;
    await tq.partitions();
    expect(fake.seen.map(({ route }) => route)).toEqual(['limits', 'cluster', 'partitions']);
  });

  it('refuses an answer that is not of the protocol', async () => {
    const { fake, tq } = await rig({ retry: { attemptsMax: 1 } });
    fake.fail('limits', { kind: 'answer', status: 200, body: '<html>' });
    expect(await rejection(tq.limits())).toMatchObject({ code: 'answer_invalid' });
    fake.fail('limits', { kind: 'answer', status: 502, body: '<html>' });
    expect(await rejection(tq.limits())).toMatchObject({ code: 'answer_invalid', kind: 'retry', status: 502 });
    fake.fail('limits', { kind: 'answer', status: 404, body: '<html>' });
    expect(await rejection(tq.limits())).toMatchObject({ code: 'answer_invalid', kind: 'fix_request', status: 404 });
  });
});

describe('close', () => {
  it('ends calls that are under way and leaves no connection', async () => {
    const { fake, tq } = await rig();
    fake.fail('limits', { kind: 'silence' }, { kind: 'silence' });
    const calls = [rejection(tq.limits()), rejection(tq.limits())];
    await until(() => fake.count('limits') === 2);
    await tq.close();
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'client_closed' });
    expect(await rejection(tq.limits())).toMatchObject({ code: 'client_closed' });
    while ((await fake.connections) > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
});
