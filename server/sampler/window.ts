/**
 * The version window: which rows are fresh enough for a task, by the version (of the policy that made the row) that
 * the row declares and the current version that the partition published.
 *
 *   oldest = max(min_version, current - max_staleness)
 *
 *   the row's version        place
 *   >= oldest                in          also above the current one: its producer was told of an update sooner
 *   <  oldest                stale       for ever: the current version only rises
 *   none, or no integer      no_version  its age is unknown, so it is not drawn; but it is not stale either, and
 *                                        must not be skipped as such: a put may still bring its version
 *
 * Without bounds every row is in, with or without a version. Before a current version is published, only min_version
 * bounds. Versions are safe integers; max_staleness is one, not below 0.
 *
 * Invariant: `oldest` rises with the current version. So when the current version advances, rows only leave the
 * window, those of [oldest before, oldest after); a bitmap of what is in needs bits cleared, never set.
 */
export interface VersionWindow {
  readonly minVersion?: number;
  readonly maxStaleness?: number;
}

export type WindowPlace = 'in' | 'stale' | 'no_version';

export function placeOf(version: number | undefined, window: VersionWindow, current: number | undefined): WindowPlace {
  if (window.minVersion === undefined && window.maxStaleness === undefined) return 'in';
  if (!Number.isSafeInteger(version)) return 'no_version';
  return isStale(version!, oldestIn(window, current)) ? 'stale' : 'in';
}

/** Asked of many rows with one `oldest`; a row without a version has NaN for it. */
export function isStale(version: number, oldest: number): boolean {
  return version < oldest && Number.isSafeInteger(version);
}

/** The lowest version in the window; -Infinity when there is no bound. */
export function oldestIn({ minVersion, maxStaleness }: VersionWindow, current: number | undefined): number {
  const oldestFresh = current === undefined || maxStaleness === undefined ? -Infinity : current - maxStaleness;
  return Math.max(minVersion ?? -Infinity, oldestFresh);
}

/** The versions from `from` up to, but not including, `end` go stale; none when they are equal. */
export interface StaleRange {
  readonly from: number;
  readonly end: number;
}

export function newlyStale(
  window: VersionWindow,
  { before, after }: { readonly before: number | undefined; readonly after: number },
): StaleRange {
  return { from: oldestIn(window, before), end: oldestIn(window, after) };
}
