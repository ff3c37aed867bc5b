/** Broken invariants crash: what the journal says and what the queue holds can no longer both be true. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`queue invariant broken: ${message}`);
}
