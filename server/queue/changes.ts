/**
 * What changed in a queue since it was saved last, but for its pages, which keep account of their own units.
 *
 *   header   the one that was saved last, to be compared      tasks   by index      claims   by number
 *
 * Invariant: a claim that nobody knows any more and that has no record is in neither set, so that a stream of claims
 * between two checkpoints needs no more memory than the claims that are known.
 */
export interface Header {
  readonly sealed: boolean;
  readonly pageNext: number;
}

export interface Changes {
  headerSaved: Header | undefined;
  readonly tasks: Set<number>;
  readonly claims: Set<number>;
  /** Claims that have a record. */
  readonly claimsSaved: Set<number>;
}

export function createChanges(): Changes {
  return { headerSaved: undefined, tasks: new Set(), claims: new Set(), claimsSaved: new Set() };
}

/** Nobody knows the claim any more. */
export function noteForgotten(changes: Changes, claim: number): void {
  if (changes.claimsSaved.has(claim)) changes.claims.add(claim);
  else changes.claims.delete(claim);
}
