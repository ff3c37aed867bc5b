/**
 * What the tests of the client share: a fake server with a client at it, and a runtime whose clock and dice they
 * hold.
 */
import { afterEach } from 'vitest';
import { Client, type ConnectOptions } from '../../ts-sdk/client.ts';
import type { Runtime } from '../../ts-sdk/retry.ts';
import { FakeServer } from './fake_server.ts';

/** A clock that moves only by sleeping, and notes each pause. */
export class TestRuntime implements Runtime {
  readonly pausesMs: number[] = [];
  dice = 0.5;
  #nowMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  random(): number {
    return this.dice;
  }

  sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.pausesMs.push(ms);
    this.#nowMs += ms;
    return Promise.resolve();
  }
}

export interface Rig {
  readonly fake: FakeServer;
  readonly tq: Client;
  readonly runtime: TestRuntime;
}

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A fake server and a client at it; both are closed after the test. */
export async function rig(options: ConnectOptions = {}): Promise<Rig> {
  const fake = await FakeServer.start();
  const runtime = new TestRuntime();
  const tq = new Client({ url: fake.url, ...options }, runtime);
  cleanups.push(
    () => fake.stop(),
    () => tq.close(),
  );
  return { fake, tq, runtime };
}

/** The error that a promise is rejected with. */
export async function rejection(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; kind?: string; status?: number }> {
  return promise.then(
    () => {
      throw new Error('the promise was fulfilled');
    },
    (error: unknown) => error as Error,
  );
}

/** The error that `work` throws. */
export function thrown(work: () => unknown): Error & { code?: string } {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

/** Waits until `probe` is true, by turns of the event loop. */
export async function until(probe: () => boolean): Promise<void> {
  while (!probe()) await new Promise((resolve) => setTimeout(resolve, 1));
}
