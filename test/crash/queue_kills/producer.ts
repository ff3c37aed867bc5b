/**
 * A producer: puts blocks of groups, the fields of a row in two puts. Killed and started again it goes on with the
 * block that it was at, with the same request ids: its history tells.
 *
 *   node producer.ts DIRECTORY NUMBER LIFE
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLines, type Invoke, type PutRow } from '../../queue_checker/history.ts';
import { seededRandom } from '../../support/sim/random.ts';
import { digestOf, pause, putBody, QueueClient } from './client.ts';
import { GROUP_SIZE, KINDS, PARTITION } from './plan.ts';

const BLOCKS_MAX = 1_000_000;
const GROUPS_MAX = 4;
const PAUSE_MS_MAX = 30;

const [, , directory, number, life] = process.argv;
const client = new QueueClient(directory, `producer-${number}.${life}`);
const random = seededRandom(1_000 * Number(number) + Number(life));

/** What the lives before asked for, by request. */
const earlier = new Map<string, Invoke>();
for (let before = 0; before < Number(life); before++) {
  const path = join(directory, `producer-${number}.${before}.jsonl`);
  // One that was killed before it asked for anything left nothing.
  if (!existsSync(path)) continue;
  for (const line of parseLines(readFileSync(path, 'utf8'))) {
    if ('does' in line) earlier.set(line.request!, line);
  }
}

const valueOf = (id: number, field: string): string => `${field} of ${id} `.padEnd(20 + (id % 200), '.');

async function put(request: string, field: string, rows: readonly PutRow[]): Promise<void> {
  const ids = rows.map(({ id }) => id);
  const values = ids.map((id) => valueOf(id, field));
  const tags = rows[0].tags === undefined ? undefined : rows.map((row) => row.tags!);
  const path = `/v1/partitions/${PARTITION}/rows`;
  await client.ask(
    { does: 'put', request, rows },
    { method: 'POST', path, body: putBody(ids, { [field]: values }, tags) },
  );
}

function cellsOf(ids: readonly number[], field: string, tags?: (id: number) => PutRow['tags']): PutRow[] {
  return ids.map((id) => ({ id, cells: { [field]: digestOf(valueOf(id, field)) }, tags: tags?.(id) }));
}

async function newRows(block: number): Promise<PutRow[]> {
  const version = await client.version();
  const first = (Number(number) * BLOCKS_MAX + block * GROUPS_MAX) * GROUP_SIZE;
  const count = GROUP_SIZE * (1 + Math.floor(random() * GROUPS_MAX));
  const ids = Array.from({ length: count }, (_, place) => first + place);
  const kindOf = (id: number): string => KINDS[Math.floor(id / GROUP_SIZE) % KINDS.length];
  return cellsOf(ids, 'tokens', (id) => ({ kind: kindOf(id), version }));
}

const requestOf = (block: number, half: string): string => `producer-${number}-${block}-${half}`;
let block = 0;
while (earlier.has(requestOf(block + 1, 'a'))) block++;
for (; !client.isStopping || earlier.has(requestOf(block, 'a')); block++) {
  const rows = (earlier.get(requestOf(block, 'a'))?.rows as PutRow[] | undefined) ?? (await newRows(block));
  await put(requestOf(block, 'a'), 'tokens', rows);
  if (random() < 0.3) await pause(random() * PAUSE_MS_MAX);
  const ids = rows.map(({ id }) => id);
  await put(requestOf(block, 'b'), 'logprob', cellsOf(ids, 'logprob'));
  await pause(random() * PAUSE_MS_MAX);
}
