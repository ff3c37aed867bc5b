/** The whole `Env` in memory: time, chance, disk and failpoints in the hands of the test; no network. */
import type { Env, Log } from '../../../server/env/env.ts';
import { SimClock } from './clock.ts';
import { SimFailpoints, type Armed } from './failpoints.ts';
import { SimFs } from './fs.ts';
import { seededRandom } from './random.ts';

export class CrashError extends Error {}

export interface SimEnv extends Env {
  readonly clock: SimClock;
  readonly fs: SimFs;
  readonly failpoints: SimFailpoints;
  /** Reasons of crashes; the first one should have ended the process. */
  readonly crashes: string[];
  /** The process is gone, as after a kill: nothing that it waits for comes any more. */
  end(): void;
}

export interface SimOptions {
  readonly fs?: SimFs;
  readonly clock?: SimClock;
  readonly seed?: number;
  /** Failpoints that strike, by name. */
  readonly arm?: Armed;
}

const quiet = (): void => undefined;
export const quietLog: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

export function simEnv(given: SimFs | SimOptions = {}, withClock?: SimClock): SimEnv {
  const options: SimOptions = given instanceof SimFs ? { fs: given, clock: withClock } : given;
  const { fs = new SimFs(), clock = new SimClock(), seed = 1, arm = {} } = options;
  const random = seededRandom(seed);
  const crashes: string[] = [];
  const exit = (point: string): void => void crashes.push(`failpoint ${point}`);
  const failpoints = new SimFailpoints({ clock, armed: arm, exit });
  return {
    clock,
    fs,
    log: quietLog,
    failpoints,
    fail: (point) => failpoints.pass(point),
    crashes,
    rng: { bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256)) },
    net: { listen: () => Promise.reject(new Error('the simulation has no network')) },
    end: () => {
      clock.end();
      fs.end();
    },
    crash(reason): never {
      crashes.push(reason);
      throw new CrashError(reason);
    },
  };
}
