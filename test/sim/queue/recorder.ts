/**
 * A client of the simulated node. It calls the engine as the HTTP handlers do, and writes the same history as clients
 * of a real server, so that one checker judges both.
 */
import { endClaim, renewClaim, takeClaim } from '../../../server/engine/claims.ts';
import type { ClaimTake } from '../../../server/engine/commands.ts';
import type { Node } from '../../../server/engine/node.ts';
import { advance, seal } from '../../../server/engine/partitions.ts';
import { tagRows } from '../../../server/engine/tags.ts';
import { requeue } from '../../../server/engine/tasks.ts';
import { StoreError } from '../../../server/errors.ts';
import { machine } from '../../../server/queue/machine.ts';
import type { GrantedRow, Invoke, Line, PutRow, Return } from '../../queue_checker/history.ts';
import { bodyOf, caller, putBody, readText, valuesOf } from '../../support/node.ts';

export const PARTITION = 'p';

type Told = Omit<Invoke, 'at' | 'process' | 'call'>;
type Answered = Omit<Return, 'at' | 'process' | 'call' | 'outcome'>;

export interface PutOptions {
  readonly field: string;
  readonly rows: readonly PutRow[];
  readonly request: string;
  /** A claim that the put acks. */
  readonly token?: string;
  readonly task?: string;
  readonly ifAbsent?: boolean;
}

/** A claim: what is asked, and what of it the checker must know. */
export interface Asked {
  readonly take: Omit<ClaimTake, 'partition' | 'sampler' | 'autoAck' | 'rowsMin'> & Partial<ClaimTake>;
  readonly told: Partial<Told>;
}

/** What a life of a node is, to those who call it. */
export interface LifeNow {
  readonly node: Node;
  /** Microseconds, of all lives. */
  at(): number;
  /** Once it ended nobody hears of anything any more. */
  isOver: boolean;
}

export class Recorder {
  readonly lines: Line[] = [];
  /** Errors that no server may answer with. */
  readonly broken: string[] = [];
  #life!: LifeNow;
  #calls = 0;

  begin(life: LifeNow): void {
    this.#life = life;
  }

  get #node(): Node {
    return this.#life.node;
  }

  async #call(told: Told, act: () => Promise<Answered>): Promise<Answered | null> {
    const life = this.#life;
    const id = { process: 'sim', call: ++this.#calls };
    this.lines.push({ at: life.at(), ...id, ...told });
    const returned = (answer: Answered & Pick<Return, 'outcome'>): void => {
      if (!life.isOver) this.lines.push({ at: life.at(), ...id, ...answer });
    };
    try {
      const answer = await act();
      returned({ outcome: 'ok', ...answer });
      return life.isOver ? null : answer;
    } catch (error) {
      if (life.isOver) return null;
      if (!(error instanceof StoreError)) this.broken.push(`${told.does}: ${String(error)}`);
      const isKnown = error instanceof StoreError && error.status < 500;
      returned({ outcome: isKnown ? 'fail' : 'unknown', code: error instanceof StoreError ? error.code : undefined });
      return null;
    }
  }

  async put({ field, rows, request, token, task, ifAbsent = false }: PutOptions): Promise<boolean> {
    const ids = rows.map(({ id }) => id);
    const values = rows.map(({ cells }) => cells[field]);
    const tags = rows[0].tags === undefined ? undefined : rows.map((row) => JSON.stringify(row.tags));
    const body = bodyOf(ids, field, values, true, tags);
    const answer = await this.#call({ does: 'put', rows, request: request || undefined, token, task }, async () => {
      await putBody(this.#node, PARTITION, body, { requestId: request, claim: token ?? null, ifAbsent });
      return {};
    });
    return answer !== null;
  }

  async tag(rows: readonly PutRow[], request: string): Promise<void> {
    const ids = Float64Array.from(rows, ({ id }) => id);
    const tags = rows.map((row) => JSON.stringify(row.tags));
    await this.#call({ does: 'tag', rows, request: request || undefined }, async () => {
      await tagRows(this.#node, { partition: PARTITION, ids, tags, requestId: request });
      return {};
    });
  }

  async claim({ take, told }: Asked): Promise<Answered | null> {
    const { task, requestId } = take;
    const full: ClaimTake = { partition: PARTITION, sampler: 'fifo', autoAck: false, rowsMin: 1, ...take };
    const request = requestId === '' ? undefined : requestId;
    return this.#call({ does: 'claim', task, request, ...told }, async () => {
      const node = this.#node;
      const outcome = await takeClaim(node, full, caller);
      if (outcome.kind === 'drained') return { end: 'drained' };
      if (outcome.kind === 'timed_out') return { end: 'timed_out', isEmpty: outcome.details.empty === true };
      const { located, attempts, token, leaseMs } = outcome;
      const { index_id: ids, ...columns } = await valuesOf(node, located);
      const rows = ids.map((id, place): GrantedRow => {
        const cells = Object.entries(columns).map(([field, values]) => [field, values[place]]);
        return { id: Number(id), attempt: attempts[place], cells: Object.fromEntries(cells) as GrantedRow['cells'] };
      });
      return { token, leaseMs, rows };
    });
  }

  async end(claim: { token: string; task: string }, how: 'ack' | 'release', request = ''): Promise<boolean> {
    const answer = await this.#call({ does: how, ...claim }, async () => {
      await endClaim(this.#node, claim.token, how, request);
      return {};
    });
    return answer !== null;
  }

  async renew(claim: { token: string; task: string }, leaseMs: number): Promise<void> {
    await this.#call({ does: 'renew', ...claim }, async () => {
      return Promise.resolve({ leaseMs: renewClaim(this.#node, claim.token, leaseMs) });
    });
  }

  async requeue(task: string): Promise<void> {
    await this.#call({ does: 'requeue', task }, async () => {
      await requeue(this.#node, { partition: PARTITION, task }, null);
      return {};
    });
  }

  async advance(version: number): Promise<void> {
    await this.#call({ does: 'advance', version }, async () => {
      await advance(this.#node, PARTITION, version);
      return {};
    });
  }

  async seal(): Promise<void> {
    await seal(this.#node, PARTITION);
  }

  /** Looks at which rows a task is done with. */
  async look(task: string, ids: readonly number[]): Promise<void> {
    await this.#call({ does: 'look', task }, async () => {
      const { state, journal } = this.#node.parts;
      const partition = this.#node.partition(PARTITION);
      const queue = state.queue(partition);
      const isOver = (id: number): boolean =>
        machine.rowStatus(queue, id)?.tasks.some((one) => one.task === task && one.state === 'consumed') === true;
      const over = ids.filter(isOver);
      await this.#node.settledAt(partition.settings.ack, journal.lsn);
      return { over };
    });
  }

  /** Reads all rows back. */
  async read(ids: readonly number[]): Promise<void> {
    await this.#call({ does: 'read' }, async () => {
      const { index_id: found, ...columns } = await readText(this.#node, PARTITION, ids);
      const cellsAt = (place: number): [string, string][] =>
        Object.entries(columns).map(([field, values]) => [field, values[place]]);
      return { rows: found.map((id, place) => ({ id: Number(id), cells: Object.fromEntries(cellsAt(place)) })) };
    });
  }

  /** Says what the checker must know of a declaration. */
  declared(tasks: Invoke['tasks'], rowsMax: number | null): void {
    const id = { process: 'sim', call: ++this.#calls };
    const at = this.#life.at();
    this.lines.push({ at, ...id, does: 'declare', tasks, rowsMax }, { at, ...id, outcome: 'ok' });
  }
}
