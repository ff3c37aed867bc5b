/**
 * How much the tests try and where they begin, as the environment says. The top of a file says which of these it heeds.
 *
 *   TQ_LONG=1   long runs, as `npm run sim|crash|fuzz -- --long` asks for them
 *   SEED=n      the first seed, or the only one
 *   RUNS=n      how many seeds, sequences or mutants
 */

export const isLong = process.env.TQ_LONG === '1';

/** For tests that try more in long runs, which are waited for. In a short run one that takes so long hangs. */
export const TIMEOUT_MS = isLong ? 24 * 3_600_000 : 600_000;

/** SEED, or else the usual seed. */
export function seedOr(usual: number): number {
  return numberOr('SEED', { usual, min: 0 });
}

/** RUNS, or else the usual number of runs. */
export function runsOr(usual: number): number {
  return numberOr('RUNS', { usual, min: 1 });
}

/** What is no number would try nothing, and pass. */
function numberOr(name: string, { usual, min }: { readonly usual: number; readonly min: number }): number {
  const given = process.env[name];
  if (given === undefined) return usual;
  if (!/^\d{1,15}$/.test(given) || Number(given) < min)
    throw new Error(`${name}=${given}: a whole number from ${min} on`);
  return Number(given);
}
