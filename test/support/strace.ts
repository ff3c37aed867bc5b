/**
 * Servers under strace, with its filter in the kernel: a call that no one asked for costs nothing, where strace alone
 * stops the server twice at each of all its calls.
 */
import { spawnSync } from 'node:child_process';
import type { StartOptions } from './process.ts';

export const hasStrace = spawnSync('strace', ['--seccomp-bpf', '-V']).status === 0;

/** Runs a server under strace; the arguments say what to trace and to inject. */
export function straced(...args: readonly string[]): string[] {
  return ['strace', '--seccomp-bpf', '-f', '-qq', ...args];
}

/** Counting is exact where one thread makes all calls to the disk. */
export const ONE_DISK_THREAD = { UV_THREADPOOL_SIZE: '1' };

/** Longer than any test waits. */
const HOLD = '600s';

export interface Kill {
  /** For `startServer`. */
  readonly options: Pick<StartOptions, 'wrapper' | 'env' | 'killsWhen'>;
  /** Whether the server came to that call. */
  readonly happened: () => boolean;
}

/**
 * Kills a server before the N-th call of a syscall: strace holds the call back and tells of it on its standard error.
 * (It could kill the server by itself, were it not that the kernel drops the signals of a tracer that filters so.)
 */
export function killBefore(syscall: string, occurrence: number): Kill {
  const inject = `inject=${syscall}:delay_enter=${HOLD}:when=${occurrence}`;
  let happened = false;
  const killsWhen = (log: string): boolean => (happened = log.split(`${syscall}(`).length > occurrence);
  const wrapper = straced('-e', `trace=${syscall}`, '-e', inject);
  return { options: { wrapper, env: ONE_DISK_THREAD, killsWhen }, happened: () => happened };
}
