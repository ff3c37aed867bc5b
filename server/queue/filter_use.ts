/** The filters that a queue has in use, as data; each page holds its bitmaps of them. */
import type { Predicate } from '../sampler/filter.ts';
import type { VersionWindow } from '../sampler/window.ts';

/** Rows whose version, the number of that index, is in the window. */
export interface WindowAsk {
  readonly number: number;
  readonly rule: VersionWindow;
}

export interface FilterUse {
  /** Its place in the table. */
  readonly key: string;
  /** The names whose values it looks at. */
  readonly names: readonly string[];
  /** The same without what follows a dot: a change of any of these may change what it says. */
  readonly heads: ReadonlySet<string>;
  readonly holds: Predicate;
  /** Undefined: it is the filter of a text. */
  readonly window?: WindowAsk;
  /** Whether it holds for a row that has neither tags nor numbers. */
  readonly holdsForNone: boolean;
  /** Pages that have a bitmap of it. */
  pages: number;
  /** Who needs it to stay: parked claims, and whoever looks for another one beside it. */
  keepers: number;
}

/** By key, those first that were not used for the longest time. */
export type FilterTable = Map<string, FilterUse>;
