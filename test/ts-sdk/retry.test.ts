import { describe, expect, it } from 'vitest';
import { catalogueError, clientError, answerError } from '../../ts-sdk/errors.ts';
import { isRetryable, pauseMs, retryDefaults, systemRuntime, withRetries } from '../../ts-sdk/retry.ts';
import { TestRuntime, rejection } from './support.ts';

const unreachable = clientError('connection_failed');
const run = (
  runtime: TestRuntime,
  errors: Error[],
  more: { deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<number> => {
  let attempts = 0;
  const bounds = { policy: retryDefaults, runtime, deadlineMs: 30_000, signal: undefined, ...more };
  return withRetries(bounds, () => {
    const error = errors[attempts++];
    return error === undefined ? Promise.resolve(attempts) : Promise.reject(error);
  });
};

describe('pauseMs', () => {
  it('begins within the window, doubles, and stays below the longest', () => {
    const at = (index: number, random: number): number => pauseMs(retryDefaults, { index, random });
    expect([at(0, 0), at(0, 1)]).toEqual([500, 800]);
    expect([at(1, 0), at(1, 1)]).toEqual([1_000, 1_600]);
    expect(at(6, 0)).toBe(4_000);
  });

  it('is what the server asks for', () => {
    expect(pauseMs(retryDefaults, { index: 5, random: 1, retryAfterMs: 20 })).toBe(20);
  });
});

describe('isRetryable', () => {
  it('goes by kind and status', () => {
    const answer = (status: number, body: object): unknown =>
      answerError({ status, headers: {}, bytes: new TextEncoder().encode(JSON.stringify(body)) });
    expect(isRetryable(unreachable)).toBe(true);
    expect(isRetryable(catalogueError('checksum_mismatch'))).toBe(true);
    expect(isRetryable(answer(503, { code: 'memory_full' }))).toBe(true);
    expect(isRetryable(answer(502, {}))).toBe(true);
    expect(isRetryable(answer(507, { code: 'disk_full' }))).toBe(false);
    expect(isRetryable(answer(404, { code: 'rows_missing' }))).toBe(false);
    expect(isRetryable(answer(421, { code: 'wrong_node' }))).toBe(false);
    expect(isRetryable(answer(429, { code: 'over_budget' }))).toBe(false);
    expect(isRetryable(answer(418, {}))).toBe(false);
    expect(isRetryable(clientError('deadline_exceeded'))).toBe(false);
    expect(isRetryable(new Error('a bug'))).toBe(false);
  });
});

describe('withRetries', () => {
  it('tries again until it works', async () => {
    const runtime = new TestRuntime();
    expect(await run(runtime, [unreachable, unreachable])).toBe(3);
    expect(runtime.pausesMs).toEqual([650, 1_300]);
  });

  it('ends after attemptsMax attempts with the last error', async () => {
    const runtime = new TestRuntime();
    const errors = Array.from({ length: 20 }, (_, i) => clientError('connection_failed', `attempt ${i}`));
    expect((await rejection(run(runtime, errors))).message).toMatch('attempt 7');
    expect(runtime.pausesMs.length).toBe(7);
  });

  it('does not begin a pause that would pass the deadline', async () => {
    const runtime = new TestRuntime();
    expect(await rejection(run(runtime, [unreachable, unreachable], { deadlineMs: 1_000 }))).toBe(unreachable);
    expect(runtime.pausesMs).toEqual([650]);
  });

  it('does not try again what cannot work', async () => {
    const runtime = new TestRuntime();
    expect((await rejection(run(runtime, [catalogueError('field_unknown')]))).code).toBe('field_unknown');
    expect(runtime.pausesMs).toEqual([]);
  });

  it('ends with the reason of its signal', async () => {
    const aborted = AbortSignal.abort(new Error('enough'));
    expect((await rejection(run(new TestRuntime(), [], { signal: aborted }))).message).toBe('enough');
  });
});

describe('systemRuntime.sleep', () => {
  it('is cut short by the signal', async () => {
    const controller = new AbortController();
    const sleeping = rejection(systemRuntime.sleep(600_000, controller.signal));
    controller.abort(new Error('enough'));
    expect((await sleeping).message).toBe('enough');
    expect((await rejection(systemRuntime.sleep(600_000, controller.signal))).message).toBe('enough');
  });
});
