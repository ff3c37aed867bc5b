/** `tq leases`: who holds which rows of a partition, and for how long. */
import { tableOf, widthOf, type Column } from '../inspect/print.ts';
import { claimText, countText, idsText, namesText, plural } from '../inspect/words.ts';
import type { LeaseAnswer } from './answers.ts';
import { printJson, type Console } from './console.ts';
import { pathOf } from './server.ts';

const columns: readonly Column<LeaseAnswer>[] = [
  { head: 'claim', text: ({ claim }) => claimText(claim) },
  { head: 'task', text: ({ task }) => task },
  { head: 'rows', align: 'right', text: ({ rows }) => countText(rows) },
  { head: 'attempt', align: 'right', text: ({ attempts_max: attempts }) => countText(attempts) },
  { head: 'left', align: 'right', text: ({ left_ms: leftMs }) => secondsText(leftMs) },
  { head: 'of', align: 'right', text: ({ lease_ms: leaseMs }) => secondsText(leaseMs) },
  { head: 'fields', text: ({ fields }) => namesText(fields) },
  { head: 'ids', isWide: true, text: ({ ids, rows }) => `${idsText(ids)}${ids.length < rows ? ', ...' : ''}` },
];

export async function leases(console: Console, { partition }: { partition: string }): Promise<void> {
  const { server, out } = console;
  const answer = await server.get<{ readonly leases: readonly LeaseAnswer[] }>(pathOf(partition, 'leases'));
  if (console.json) return printJson(console, answer);
  if (answer.leases.length > 0) out.write(`${tableOf(columns, answer.leases, widthOf(out))}\n`);
  out.write(`${plural(answer.leases.length, 'leased claim')}\n`);
}

function secondsText(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
