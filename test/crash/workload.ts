/**
 * The fixed workload of the crash suites and the check of what it left behind.
 *
 *   rounds, in a partition of level os and one of level disk: put, overwrite, claim + ack, delete, claim + release
 *   [a checkpoint, and a drop, after each round]
 *
 * Every change is noted before it is sent and when its answer came; `check` opens the directory as a new process would
 * and compares. It knows only the notes: acknowledged, certainly refused, or unknown.
 */
import type { StoreError } from '../../server/errors.ts';
import { realEnv } from '../../server/env/real.ts';
import { claimOf, openTestNode, readText, valuesOf, bodyOf } from '../support/node.ts';
import { seal } from '../../server/engine/partitions.ts';
import { endClaim } from '../../server/engine/claims.ts';
import { columnsOf, TestClient, type Answer } from '../support/http_client.ts';
import { quietLog } from '../support/sim_env.ts';

const FIELD = 'value';
const TASK = 'train';

interface Write {
  readonly value: string;
  outcome: Answer['outcome'];
}

/** What is known of one row: its writes in order, and whether it was deleted or acked. */
interface RowNotes {
  readonly writes: Write[];
  deleted: Answer['outcome'] | 'no';
  acked: Answer['outcome'] | 'no';
}

export interface Notes {
  readonly partitions: Map<string, Map<number, RowNotes>>;
  acknowledged: number;
  attempted: number;
}

export const partitions = [
  ['os', 'os'],
  ['disk', 'disk'],
] as const;

export function newNotes(): Notes {
  return {
    partitions: new Map(partitions.map(([name]) => [name, new Map<number, RowNotes>()])),
    acknowledged: 0,
    attempted: 0,
  };
}

function rowOf(notes: Notes, partition: string, id: number): RowNotes {
  const rows = notes.partitions.get(partition)!;
  let row = rows.get(id);
  if (row === undefined) rows.set(id, (row = { writes: [], deleted: 'no', acked: 'no' }));
  return row;
}

/** Runs rounds `from` to `to` one request after the other; stops when the server no longer answers. */
export async function runWorkload(
  url: string,
  notes: Notes,
  rounds: { from: number; to: number; size: number; checkpoints?: boolean },
): Promise<'done' | 'cut'> {
  const client = new TestClient(url);
  const count = (answer: Answer): Answer => {
    notes.attempted++;
    if (answer.outcome === 'ok') notes.acknowledged++;
    return answer;
  };
  const put = async (partition: string, ids: number[], text: string, query = ''): Promise<Answer> => {
    const values = ids.map((id) => `${partition} ${id} ${text} ${'.'.repeat(rounds.size)}`);
    const writes = ids.map((id, i) => {
      const write: Write = { value: values[i], outcome: 'unknown' };
      rowOf(notes, partition, id).writes.push(write);
      return write;
    });
    const answer = count(
      await client.request(
        'POST',
        `/v1/partitions/${partition}/rows${query}`,
        new Uint8Array(bodyOf(ids, FIELD, values)),
      ),
    );
    for (const write of writes) write.outcome = answer.outcome;
    return answer;
  };
  for (const [name, ack] of partitions) {
    const declared = await client.request('PUT', `/v1/partitions/${name}`, { ack });
    if (declared.outcome === 'unknown') return 'cut';
  }
  for (let round = rounds.from; round < rounds.to; round++) {
    const base = round * 10;
    for (const [name] of partitions) {
      const steps = [
        () => put(name, [base, base + 1, base + 2, base + 3], `r${round}`),
        () => put(name, [base + 1], `r${round} again`),
        () => takeAndEnd(client, notes, name, 'ack', count),
        () => remove(client, notes, name, base + 3, count),
        () => takeAndEnd(client, notes, name, 'release', count),
      ];
      for (const step of steps) if ((await step()).outcome === 'unknown') return 'cut';
    }
    if (rounds.checkpoints === true && !(await checkpointAndDrop(client))) return 'cut';
  }
  return 'done';
}

/** Has a checkpoint made, and a partition whose segment goes with it; false when the server no longer answers. */
async function checkpointAndDrop(client: TestClient): Promise<boolean> {
  const path = '/v1/partitions/dropped';
  const body = new Uint8Array(bodyOf([1], FIELD, ['dropped']));
  const steps = [
    () => client.request('PUT', path, { ack: 'memory' }),
    () => client.request('POST', `${path}/rows`, body),
    () => client.request('DELETE', path),
    () => client.request('POST', '/v1/snapshots', { state: true, lease_ms: 1_000 }),
  ];
  for (const step of steps) if ((await step()).outcome === 'unknown') return false;
  return true;
}

/** Claims up to two rows and acks or releases them. */
async function takeAndEnd(
  client: TestClient,
  notes: Notes,
  partition: string,
  how: 'ack' | 'release',
  count: (answer: Answer) => Answer,
): Promise<Answer> {
  const body = { task: TASK, fields: [FIELD], rows_max: 2, rows_min: 1, lease_ms: 60_000 };
  const granted = count(await client.request('POST', `/v1/partitions/${partition}/claims`, body));
  const token = granted.headers.get('tq-claim');
  if (granted.outcome !== 'ok' || token === null) return granted;
  const ids = columnsOf(granted.bytes).index_id as number[];
  for (const id of ids) {
    const row = rowOf(notes, partition, id);
    if (row.acked === 'ok') throw new Error(`lost ack: row ${id} of ${partition} was granted again`);
    if (how === 'ack') row.acked = 'unknown';
  }
  const ended = count(await client.request('POST', `/v1/claims/${token}:${how}`));
  if (how === 'ack')
    for (const id of ids) rowOf(notes, partition, id).acked = ended.outcome === 'fail' ? 'no' : ended.outcome;
  return ended;
}

async function remove(
  client: TestClient,
  notes: Notes,
  partition: string,
  id: number,
  count: (answer: Answer) => Answer,
): Promise<Answer> {
  const row = rowOf(notes, partition, id);
  row.deleted = 'unknown';
  const answer = count(await client.request('POST', `/v1/partitions/${partition}/rows:delete`, { ids: [id] }));
  row.deleted = answer.outcome === 'fail' ? 'no' : answer.outcome;
  return answer;
}

/** Opens the directory and compares every row, then drains the task. Returns what is wrong, in words. */
export async function check(directory: string, notes: Notes): Promise<string[]> {
  const wrong: string[] = [];
  const { node, close } = await openWhenUnlocked(directory);
  for (const [name, rows] of notes.partitions) {
    if (node.parts.state.store.partition(name) === undefined) {
      if ([...rows.values()].some((row) => row.writes.some((write) => write.outcome === 'ok')))
        wrong.push(`partition ${name} is lost`);
      continue;
    }
    const present = new Set<number>();
    for (const [id, row] of rows) {
      const found = await readText(node, name, [id], [FIELD]).then(
        (columns) => columns[FIELD][0],
        (error: StoreError) => {
          if (error.code !== 'rows_missing' && error.code !== 'field_unknown')
            wrong.push(`row ${id} of ${name}: ${error.message}`);
          return null;
        },
      );
      if (found !== null) present.add(id);
      const problem = judgeRow(row, found);
      if (problem !== null) wrong.push(`row ${id} of ${name}: ${problem}`);
    }
    wrong.push(...(await drain(node, name, rows, present)));
  }
  await close();
  return wrong;
}

const LOCK_TRIES_MAX = 1_000;
const LOCK_POLL_MS = 5;

/** A killed process lets go of its lock only when the kernel has buried it, which its tracer does not wait for. */
async function openWhenUnlocked(directory: string): ReturnType<typeof openTestNode> {
  for (let tries = 1; ; tries++) {
    try {
      return await openTestNode(realEnv(quietLog), directory);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ELOCKED' || tries === LOCK_TRIES_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  }
}

/** The newest acknowledged write or a later unknown one must be there, unless a delete may have removed it. */
export function judgeRow(row: RowNotes, found: string | null): string | null {
  const lastOk = row.writes.findLastIndex((write) => write.outcome === 'ok');
  const allowed = row.writes.filter((write, i) => i >= lastOk && write.outcome !== 'fail').map((write) => write.value);
  if (row.deleted === 'ok') return found === null ? null : 'it was deleted and is there';
  if (found === null) return lastOk >= 0 && row.deleted === 'no' ? 'lost put' : null;
  return allowed.includes(found) ? null : `unexpected bytes ${found.slice(0, 60)}`;
}

type TestNode = Awaited<ReturnType<typeof openTestNode>>['node'];

/** After the leases ended every row that was not acked is granted, none that was. */
async function drain(
  node: TestNode,
  name: string,
  rows: Map<number, RowNotes>,
  present: ReadonlySet<number>,
): Promise<string[]> {
  const wrong: string[] = [];
  const partition = node.partition(name);
  if (!partition.fieldsByName.has(FIELD)) return [];
  const queue = node.parts.state.queue(partition);
  for (const claim of [...queue.claims.keys()]) {
    await endClaim(node, node.parts.tokens.make({ partition: queue.partition, claim }), 'release', '');
  }
  await seal(node, name);
  const granted = new Set<number>();
  for (;;) {
    const outcome = await claimOf(node, name, { task: TASK, fields: [FIELD], rowsMax: 100 });
    if (outcome.kind !== 'claimed') break;
    for (const id of outcome.located.ids) granted.add(id);
    await valuesOf(node, outcome.located);
    await endClaim(node, outcome.token, 'ack', '');
  }
  for (const [id, row] of rows) {
    if (granted.has(id) && row.acked === 'ok') wrong.push(`row ${id} of ${name}: lost ack`);
    if (!granted.has(id) && present.has(id) && row.acked === 'no') wrong.push(`row ${id} of ${name}: never granted`);
  }
  return wrong;
}
