/** Notes which units of a page changed since they were saved. Whoever changes one notes it in the same turn. */
import type { Page } from './page.ts';

/** Pages with units that changed. */
export interface ChangedPages {
  readonly changed: Set<Page>;
}

export function note({ changed }: ChangedPages, page: Page, unit: number): void {
  if (page.changed.size === 0) changed.add(page);
  page.changed.add(unit);
}
