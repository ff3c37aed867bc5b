/** `tq why-held`: why the bytes of a row are still there. */
import { tableOf, widthOf, type Column } from '../inspect/print.ts';
import { claimText, countText } from '../inspect/words.ts';
import { printJson, type Console } from './console.ts';
import { pathOf } from './server.ts';

type Item = Readonly<Record<string, unknown>>;

/** A sentence, and lists of what it was made of: fields, tasks, claims, snapshots. */
interface HeldAnswer extends Item {
  readonly because: string;
}

/** The sentence, then each list that is not empty as a table with the names that the server gave. */
export async function whyHeld(console: Console, { partition, id }: { partition: string; id: number }): Promise<void> {
  const { server, out } = console;
  const answer = await server.get<HeldAnswer>(`${pathOf(partition, 'rows', id)}:held`);
  if (console.json) return printJson(console, answer);
  out.write(`${answer.because}\n`);
  for (const [name, value] of Object.entries(answer)) {
    const items = itemsOf(name, value);
    if (items.length > 0) out.write(`\n${tableOf(columnsOf(items), items, widthOf(out))}`);
  }
}

/** A list as it is, an object of objects with the name of each; nothing of what is no list. */
function itemsOf(name: string, value: unknown): readonly Item[] {
  const head = name.replace(/s$/, '');
  if (Array.isArray(value)) return value.map((item: unknown) => (isItem(item) ? item : { [head]: item }));
  const entries = isItem(value) ? Object.entries(value) : [];
  return entries.flatMap(([key, item]) => (isItem(item) ? [{ [head]: key, ...item }] : []));
}

function columnsOf(items: readonly Item[]): Column<Item>[] {
  const heads = [...new Set(items.flatMap((item) => Object.keys(item)))];
  return heads.map((head) => {
    const isNumber = head !== 'claim' && items.every((item) => typeof item[head] === 'number');
    return { head, align: isNumber ? 'right' : 'left', text: (item) => valueText(head, item[head]) };
  });
}

function isItem(value: unknown): value is Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function valueText(head: string, value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number') return head === 'claim' ? claimText(value) : countText(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
