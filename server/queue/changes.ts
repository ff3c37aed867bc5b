/**
 * What changed in a queue since it was saved last, but for its pages, which keep account of their own units.
 *
 *   header   the one that was saved last, to be compared      tasks   by index      claims   by number
 *
 * Claims that ended keep account themselves of what is saved of them (ended_claims.ts).
 *
 * Invariant: a claim that nobody knows any more and that has no record is in neither set, so that a stream of claims
 * between two checkpoints needs no more memory than the claims that are known.
 */
export interface Header {
  readonly sealed: boolean;
  readonly pageNext: number;
  readonly version: number;
  readonly rowsAdmitted: number;
  readonly evicted: number;
  /** Replaced as a whole when it changes. */
  readonly arrivals: readonly Arrival[];
}

/** Rows in slots below `slotEnd`, and not in those of the arrival before, came at these times: see arrivals.ts. */
export interface Arrival {
  readonly slotEnd: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface Changes {
  headerSaved: Header | undefined;
  readonly tasks: Set<number>;
  /** Those that are known or forgotten. */
  readonly claims: Set<number>;
  /** Claims that have a record. */
  readonly claimsSaved: Set<number>;
}

export function createChanges(): Changes {
  return { headerSaved: undefined, tasks: new Set(), claims: new Set(), claimsSaved: new Set() };
}

type HeaderSource = Omit<Header, 'pageNext'> & { readonly slots: Pick<Header, 'pageNext'> };

export function headerOf(queue: HeaderSource): Header {
  const { sealed, slots, version, rowsAdmitted, evicted, arrivals } = queue;
  return { sealed, pageNext: slots.pageNext, version, rowsAdmitted, evicted, arrivals };
}

export function sameHeader(one: Header, other: Header): boolean {
  return (
    one.sealed === other.sealed &&
    one.pageNext === other.pageNext &&
    one.version === other.version &&
    one.rowsAdmitted === other.rowsAdmitted &&
    one.evicted === other.evicted &&
    one.arrivals === other.arrivals
  );
}

/** Nobody knows the claim any more. */
export function noteForgotten(changes: Changes, claim: number): void {
  if (changes.claimsSaved.has(claim)) changes.claims.add(claim);
}
