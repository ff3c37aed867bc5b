/**
 * Draws rows for a claim.
 *
 *   ready rows --> units (rows, or whole groups) --> order (slots, priority, chance, a module) --> cut (rows, tokens)
 *
 * Priority, chance and modules see the oldest ready rows, CANDIDATES_MAX of them at most: later ones wait until some of
 * these are gone.
 */
import { cutByBudget } from '../../sampler/budget.ts';
import { offerByPriority } from '../../sampler/priority.ts';
import { createTop, placesOf, type ColumnRows } from '../../sampler/top.ts';
import { offerByWeight } from '../../sampler/weighted.ts';
import type { Candidates, Choose, Refusal } from '../events.ts';
import { numberIndex, numbersOf } from '../numbers.ts';
import type { Page } from '../page.ts';
import { idsAt, offsetOf, pageOf } from '../slots.ts';
import type { PartitionQueue } from '../state.ts';
import { tagsAt } from '../values.ts';
import { findGroups } from './groups.ts';
import { attemptsOf, eachReady, idsOf, READY_STEP, readyOf, readyRows, valuesOf } from './rows.ts';
import type { Sought } from './sought.ts';

/** Ready rows that a sampler chooses from. */
export const CANDIDATES_MAX = 65_536;

export interface Drawn {
  readonly kind: 'drawn';
  /** Slots, unit by unit, in the order drawn. */
  readonly rows: Float64Array;
  /** Where each unit begins in `rows`; undefined: each row is one. */
  readonly starts: Uint32Array | undefined;
  /** It is as large as it gets. */
  readonly isFull: boolean;
  /** Rows that the task must pass before anything is granted. */
  readonly late: Float64Array;
  readonly dueMs: number;
}

export type Draw = Drawn | Refusal;

const NONE = new Float64Array(0);
/** The ids, then the chances of rows that are looked at together. */
const chancesRoom = new Float64Array(READY_STEP);

export function draw(queue: PartitionQueue, sought: Sought, now: number): Draw {
  const drawn = drawUnits(queue, sought, now);
  if (drawn.kind === 'refuse' || drawn.late.length > 0 || sought.command.tokens === undefined) return drawn;
  return cut(queue, sought, drawn);
}

export function countUnits({ rows, starts }: Pick<Drawn, 'rows' | 'starts'>): number {
  return starts === undefined ? rows.length : starts.length;
}

/** The sums of a number over the units; NaN for a unit in which a row has none. */
export function unitSums(
  queue: PartitionQueue,
  number: number,
  { rows, starts }: Pick<Drawn, 'rows' | 'starts'>,
): Float64Array {
  const values = valuesOf(queue, number, rows);
  if (starts === undefined) return values;
  return Float64Array.from(starts, (start, unit) => {
    const end = unit + 1 < starts.length ? starts[unit + 1] : rows.length;
    return values.subarray(start, end).reduce((sum, value) => sum + value, 0);
  });
}

function drawUnits(queue: PartitionQueue, sought: Sought, now: number): Draw {
  const { command, unitSize } = sought;
  const { rowsMax, ids, sampler, choose, group } = command;
  if (ids !== undefined) return drawnRows(readyOf(queue, sought, ids));
  if (sampler === 'fifo') return drawnRows(readyRows(queue, sought, rowsMax));
  if (choose !== undefined) return drawChosen(queue, sought, choose);
  if (sampler === 'priority') return drawByPriority(queue, sought);
  if (sampler !== 'group') return drawByWeight(queue, sought);
  const { survivorsMin, waitMs = 0 } = group ?? {};
  const groupsMax = Math.floor(rowsMax / unitSize);
  const groups = findGroups(queue, sought, { number: sought.groupBy, groupsMax, survivorsMin, waitMs, now });
  return { kind: 'drawn', isFull: false, ...groups };
}

function drawByPriority(queue: PartitionQueue, sought: Sought): Drawn {
  const top = createTop(Math.min(sought.command.rowsMax, queue.slots.rows));
  eachReady(queue, sought, CANDIDATES_MAX, (page, offsets) => {
    offerByPriority(top, columnRows(queue, page, offsets, sought.by));
  });
  return drawnRows(placesOf(top));
}

function drawByWeight(queue: PartitionQueue, sought: Sought): Drawn {
  const { slots } = queue;
  const { rowsMax, seed = 0 } = sought.command;
  const top = createTop(Math.min(rowsMax, slots.rows));
  eachReady(queue, sought, CANDIDATES_MAX, (page, offsets) => {
    const chances = chancesRoom.subarray(0, offsets.length);
    idsAt(slots, page, offsets, chances);
    slots.bitmaps.chances(seed, chances);
    offerByWeight(top, columnRows(queue, page, offsets, sought.by), chances);
  });
  return drawnRows(placesOf(top));
}

function columnRows({ slots }: PartitionQueue, page: Page, offsets: Uint32Array, number: number): ColumnRows {
  return { first: page.number * slots.pageBits, offsets, numbers: numbersOf(page, number) };
}

function drawChosen(queue: PartitionQueue, sought: Sought, choose: Choose): Draw {
  const { rowsMax } = sought.command;
  const rows = readyRows(queue, sought, CANDIDATES_MAX);
  if (rows.length === 0) return drawnRows(rows);
  const chosen = choose(candidatesOf(queue, sought, rows));
  if (chosen === undefined) return { kind: 'refuse', code: 'sampler_failed' };
  const places = Array.from(chosen);
  const isFit = (place: number): boolean => Number.isInteger(place) && place >= 0 && place < rows.length;
  if (places.length > rowsMax || new Set(places).size < places.length || !places.every(isFit)) {
    const reason = `a choice of ${places.length} places, at most ${rowsMax} different ones below ${rows.length} wanted`;
    return { kind: 'refuse', code: 'sampler_failed', details: { reason } };
  }
  return drawnRows(Float64Array.from(places, (place) => rows[place]));
}

function candidatesOf(queue: PartitionQueue, { task, command }: Sought, rows: Float64Array): Candidates {
  const { rowsMax, seed = 0, by } = command;
  return {
    ids: idsOf(queue, rows),
    attempts: attemptsOf(queue, task, rows),
    ...{ rowsMax, seed, by },
    numbers: (name) => {
      const number = numberIndex(queue, name);
      if (number < 0) throw new RangeError(`the partition declares no number ${name}`);
      return valuesOf(queue, number, rows);
    },
    tags: (place) => tagsAt(queue, pageOf(queue.slots, rows[place])!, offsetOf(queue.slots, rows[place])),
  };
}

/** Cuts the draw where its tokens are used up; refuses a first unit that no budget of this size ever lets pass. */
function cut(queue: PartitionQueue, sought: Sought, drawn: Drawn): Draw {
  const { rows, starts } = drawn;
  const { command, tokensBy, unitSize } = sought;
  const tokens = unitSums(queue, tokensBy, drawn);
  const sizes = new Float64Array(tokens.length).fill(unitSize);
  const tokensMax = command.tokens!.max;
  const { units, stop } = cutByBudget({ tokens, rows: sizes }, { tokensMax, rowsMax: command.rowsMax });
  if (stop === 'too_large' || stop === 'no_length') {
    const [id] = idsOf(queue, rows.subarray(0, 1));
    const length = Number.isNaN(tokens[0]) ? null : tokens[0];
    return { kind: 'refuse', code: 'row_over_budget', details: { id, length, tokens_max: tokensMax } };
  }
  const end = starts === undefined || units === starts.length ? undefined : starts[units];
  return {
    ...drawn,
    rows: rows.subarray(0, starts === undefined ? units : (end ?? rows.length)),
    starts: starts?.subarray(0, units),
    isFull: stop === 'tokens' || stop === 'rows',
  };
}

function drawnRows(rows: Float64Array): Drawn {
  return { kind: 'drawn', rows, starts: undefined, isFull: false, late: NONE, dueMs: Infinity };
}
