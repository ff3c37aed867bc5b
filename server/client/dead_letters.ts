/** `tq dead-letters`: rows that came back too often, of one task or of all; on request they are tried anew. */
import { limits } from '@transfer-queue/core/protocol';
import { tableOf, widthOf, type Column } from '../inspect/print.ts';
import { countText, plural } from '../inspect/words.ts';
import type { DeadLettersAnswer, PartitionAnswer } from './answers.ts';
import { printJson, type Console } from './console.ts';
import { pagesOf } from './pages.ts';
import { pathOf } from './server.ts';

export interface DeadLettersAsked {
  readonly partition: string;
  /** Undefined: of all tasks. */
  readonly task?: string;
  /** Of each task. */
  readonly limit: number;
}

interface DeadLetter {
  readonly task: string;
  readonly id: number;
  readonly attempts: number;
}

const columns: readonly Column<DeadLetter>[] = [
  { head: 'task', text: ({ task }) => task },
  { head: 'row', align: 'right', text: ({ id }) => String(id) },
  { head: 'attempts', align: 'right', text: ({ attempts }) => countText(attempts) },
];

export async function deadLetters(console: Console, asked: DeadLettersAsked): Promise<void> {
  const { out } = console;
  const found: DeadLetter[] = [];
  let hasMore = false;
  for (const task of await tasksOf(console, asked)) {
    let end: DeadLettersAnswer['next'] = null;
    for await (const { rows, next } of pages(console, task, asked)) {
      end = next;
      for (const row of rows) {
        if (console.json) printJson(console, { task, ...row });
        else found.push({ task, ...row });
      }
    }
    hasMore ||= end !== null;
  }
  if (console.json) return;
  if (found.length > 0) out.write(`${tableOf(columns, found, widthOf(out))}\n`);
  out.write(`${plural(found.length, 'dead letter')}${hasMore ? ', and there are more: see --limit' : ''}\n`);
}

/** Makes all dead letters claimable again. */
export async function requeue(console: Console, asked: DeadLettersAsked): Promise<void> {
  const { server, out } = console;
  for (const task of await tasksOf(console, asked)) {
    const path = `${pathOf(asked.partition, 'tasks', task)}:requeue`;
    const answer = await server.post<{ readonly lsn: number; readonly rows: number }>(path, {});
    if (console.json) printJson(console, { task, ...answer });
    else out.write(`task ${task} tries ${plural(answer.rows, 'dead letter')} anew\n`);
  }
}

/** Those that have any, unless one was named. */
async function tasksOf({ server }: Console, { partition, task }: DeadLettersAsked): Promise<readonly string[]> {
  if (task !== undefined) return [task];
  const { tasks } = await server.get<PartitionAnswer>(pathOf(partition));
  return Object.keys(tasks).filter((name) => tasks[name].dead > 0);
}

function pages({ server }: Console, task: string, asked: DeadLettersAsked): AsyncGenerator<DeadLettersAnswer, void> {
  const path = pathOf(asked.partition, 'tasks', task, 'dead-letters');
  const { limit } = asked;
  const size = { limit, pageRowsMax: limits.listRowsMax, countRows: (page: DeadLettersAnswer) => page.rows.length };
  return pagesOf(size, ({ after, rowsMax }) => {
    const from = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    return server.get(`${path}?rows_max=${rowsMax}${from}`);
  });
}
