/**
 * `npm run sim|crash|fuzz`: the proofs that `npm test` runs in small, by themselves; `-- --long` runs them in large.
 *
 *     npm run sim -- --long --seed 7
 *
 * The root seed is printed first, and `--seed` replays it: a short run always has the same, a long one its own. What
 * else is given goes to Vitest, such as the name of a test (`-t`).
 */

import { join } from 'node:path';
import { run } from './process.mjs';
import { root } from './setup.mjs';

/** Where the tests of each proof are. */
const proofs = {
  sim: ['test/sim', 'test/server/engine', 'test/server/tree', 'test/server/queue'],
  crash: ['test/crash'],
  fuzz: ['test/fuzz', 'test/hostile', 'test/core/arrow'],
} as const;

const SEED = 1;
/** Above all seeds: nine digits can be read out and typed. */
const SEED_END = 1e9;

export interface Proof {
  readonly folders: readonly string[];
  readonly seed: number;
  readonly isLong: boolean;
  readonly rest: readonly string[];
}

/** What the arguments ask for; throws an `Error` that says what is wrong with them. */
export function proofOf([name, ...args]: readonly string[], chance: () => number): Proof {
  const folders = Object.entries(proofs).find(([known]) => known === name)?.[1];
  if (folders === undefined) throw new Error(`Which proof? One of: ${Object.keys(proofs).join(', ')}.`);
  const rest: string[] = [];
  let isLong = false;
  let given: string | null = null;
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--long') isLong = true;
    else if (args[i] === '--seed') given = args[++i] ?? '';
    else rest.push(args[i]);
  }
  if (given !== null && !/^\d{1,9}$/.test(given)) throw new Error(`A seed has one to nine digits, unlike "${given}".`);
  const seed = given !== null ? Number(given) : isLong ? Math.floor(chance() * SEED_END) : SEED;
  return { folders, seed, isLong, rest };
}

/** Arguments of Vitest for a proof. An option without `=` would take the first folder for its value. */
export function vitestArguments({ folders, rest }: Proof): readonly string[] {
  return ['--disable-console-intercept=true', ...folders, ...rest];
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const proof = proofOf(args, Math.random);
  const { seed, isLong } = proof;
  console.log(`seed ${seed}: npm run ${args[0]} --${isLong ? ' --long' : ''} --seed ${seed}`);
  const vitest = [process.execPath, join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run'];
  const env = { ...process.env, SEED: String(seed), ...(isLong ? { TQ_LONG: '1' } : {}) };
  process.exitCode = await run([...vitest, ...vitestArguments(proof)], { cwd: root, env });
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  });
}
