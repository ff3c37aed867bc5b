/**
 * The simulation of the outside world, for tests: the door of `sim/`.
 *
 *   simEnv(fs?, clock?)  |  simEnv({ fs, clock, seed, arm })      an `Env` whose time, chance and disk the test holds
 */
export { settle, SimClock, turn } from './sim/clock.ts';
export { Disk, type DiskOp, type SimFile } from './sim/disk.ts';
export { CrashError, quietLog, simEnv, type SimEnv, type SimOptions } from './sim/env.ts';
export { SimFailpoints, type Armed } from './sim/failpoints.ts';
export { SimFs, type Fault, type PowerCut } from './sim/fs.ts';
export { giveMemory, takeMemory } from './sim/memory.ts';
export { seededRandom } from './sim/random.ts';
