/**
 * The columns of a batch as the journal holds them. Small puts mostly have the columns of the put before them, region
 * by region: the reader then hands out what it read before, so that whoever keeps them keeps one list for all.
 *
 *   u32 columns, for each:   u16 field | nums offset, length of each part
 */
import type { ByteReader, ByteWriter } from './bytes.ts';
import type { BatchColumns } from './events.ts';

type Columns = BatchColumns['columns'];

/** Bytes of a column that has nothing in its list. */
const COLUMN_SIZE_MIN = 6;

let readBefore: Columns = [];

export function writeColumns(out: ByteWriter, columns: Columns): void {
  out.u32(columns.length);
  for (const column of columns) {
    out.u16(column.field);
    out.numbers(column.regions);
  }
}

export function readColumns(source: ByteReader): Columns {
  const from = source.at;
  if (isNext(source, readBefore)) return readBefore;
  source.at = from;
  const columns = new Array<Columns[number]>(source.count(COLUMN_SIZE_MIN));
  for (let i = 0; i < columns.length; i++) columns[i] = { field: source.u16(), regions: source.list() };
  return (readBefore = columns);
}

export function sameColumns(some: Columns, others: Columns): boolean {
  if (some === others) return true;
  if (some.length !== others.length) return false;
  for (let i = 0; i < some.length; i++) {
    if (some[i].field !== others[i].field || !sameNumbers(some[i].regions, others[i].regions)) return false;
  }
  return true;
}

function sameNumbers(some: readonly number[], others: readonly number[]): boolean {
  if (some.length !== others.length) return false;
  for (let i = 0; i < some.length; i++) if (some[i] !== others[i]) return false;
  return true;
}

/** Whether the reader gives just these columns; it stands behind them if so, and anywhere if not. */
function isNext(source: ByteReader, columns: Columns): boolean {
  if (source.u32() !== columns.length) return false;
  for (let i = 0; i < columns.length; i++) {
    const { field, regions } = columns[i];
    if (source.u16() !== field || source.u32() !== regions.length) return false;
    for (let part = 0; part < regions.length; part++) if (source.number() !== regions[part]) return false;
  }
  return true;
}
