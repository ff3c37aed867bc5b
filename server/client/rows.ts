/** `tq rows`: rows with their tags and numbers, by filter, by ids, or those that a task could claim. */
import { limits } from '@transfer-queue/core/protocol';
import { tableOf, widthOf, type Column } from '../inspect/print.ts';
import { plural } from '../inspect/words.ts';
import type { ListAnswer } from './answers.ts';
import { printJson, type Console } from './console.ts';
import { pagesOf } from './pages.ts';
import { pathOf } from './server.ts';

export interface RowsAsked {
  readonly partition: string;
  /** None: all rows. */
  readonly ids: readonly number[];
  readonly where?: string;
  readonly ready?: { readonly task: string; readonly fields: readonly string[] };
  readonly limit: number;
}

interface ListedRow {
  readonly id: number;
  readonly tags: Readonly<Record<string, unknown>>;
  readonly numbers: Readonly<Record<string, number | null>>;
  readonly attempts?: number;
}

export async function rows(console: Console, asked: RowsAsked): Promise<void> {
  const listed: ListedRow[] = [];
  let hasMore = false;
  for await (const page of pages(console, asked)) {
    hasMore = page.next !== null;
    for (const row of rowsOf(page)) {
      if (console.json) printJson(console, row);
      else listed.push(row);
    }
  }
  if (!console.json) print(console, listed, hasMore);
}

function pages(
  { server }: Console,
  { partition, ids, where, ready, limit }: RowsAsked,
): AsyncGenerator<ListAnswer, void> {
  const path = `${pathOf(partition, 'rows')}:list`;
  const select = { ids: ids.length === 0 ? undefined : ids, where, ready };
  const size = { limit, pageRowsMax: limits.listRowsMax, countRows: (page: ListAnswer) => page.ids.length };
  return pagesOf(size, ({ after, rowsMax }) => server.post(path, { ...select, after, rows_max: rowsMax }));
}

function rowsOf({ ids, tags, numbers, attempts }: ListAnswer): ListedRow[] {
  const columns = Object.entries(numbers);
  return ids.map((id, i) => ({
    id,
    tags: tags[i],
    numbers: Object.fromEntries(columns.map(([name, values]) => [name, values[i]])),
    ...(attempts === undefined ? {} : { attempts: attempts[i] }),
  }));
}

function print({ out }: Console, listed: readonly ListedRow[], hasMore: boolean): void {
  const names = Object.keys(listed[0]?.numbers ?? {});
  const columns: Column<ListedRow>[] = [
    { head: 'row', align: 'right', text: ({ id }) => String(id) },
    ...names.map((name): Column<ListedRow> => {
      return { head: name, align: 'right', text: ({ numbers }) => String(numbers[name] ?? '') };
    }),
    ...(listed[0]?.attempts === undefined
      ? []
      : [
          {
            head: 'attempts',
            align: 'right',
            text: ({ attempts }) => String(attempts),
          } as const satisfies Column<ListedRow>,
        ]),
    { head: 'tags', isWide: true, text: ({ tags }) => tagsText(tags) },
  ];
  if (listed.length > 0) out.write(`${tableOf(columns, listed, widthOf(out))}\n`);
  out.write(`${plural(listed.length, 'row')}${hasMore ? ', and there are more: see --limit' : ''}\n`);
}

function tagsText(tags: Readonly<Record<string, unknown>>): string {
  return Object.entries(tags)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(', ');
}
