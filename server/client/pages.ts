/** Lists that come page by page. */

interface Page {
  /** What the next page is asked for with; null at the end. */
  readonly next: number | string | null;
}

export interface PageAsked<After> {
  readonly after: After | undefined;
  readonly rowsMax: number;
}

/**
 * Pages with at most `limit` rows in all. The last one tells by its `next` whether there would be more.
 */
export async function* pagesOf<P extends Page>(
  { limit, pageRowsMax, countRows }: { limit: number; pageRowsMax: number; countRows: (page: P) => number },
  ask: (asked: PageAsked<NonNullable<P['next']>>) => Promise<P>,
): AsyncGenerator<P, void> {
  let after: NonNullable<P['next']> | undefined;
  for (let left = limit; left > 0;) {
    const page = await ask({ after, rowsMax: Math.min(left, pageRowsMax) });
    yield page;
    if (page.next === null) return;
    after = page.next;
    left -= countRows(page);
  }
}
