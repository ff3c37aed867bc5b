/**
 * How findings look: tables for people, as wide as their terminal, and JSON lines for programs. Readers yield plain
 * rows and know nothing of this.
 */
import Table from 'cli-table3';

/** Where text goes. `process.stdout` is one. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Column<Row> {
  readonly head: string;
  readonly align?: 'left' | 'right';
  /** Takes what width is left and breaks its text; one column at most. */
  readonly isWide?: boolean;
  text(row: Row): string;
}

const WIDTH_DEFAULT = 100;
const WIDTH_MIN = 60;
const WIDE_MIN = 16;
const GAP = '  ';

const lines = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', right: '', 'right-mid': '' },
  ...{ mid: '─', 'mid-mid': '─'.repeat(GAP.length), middle: GAP },
};

export function widthOf(output: Output): number {
  return Math.max(WIDTH_MIN, output.columns ?? WIDTH_DEFAULT);
}

/** A table with a head and a line below it. Its last column is not padded. */
export function tableOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  const cells = rows.map((row) => columns.map((column) => column.text(row)));
  const widths = columns.map(({ head }, i) => Math.max(head.length, ...cells.map((row) => longestLine(row[i]))));
  const wide = columns.findIndex(({ isWide }) => isWide === true);
  const total = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (columns.length - 1);
  if (wide !== -1 && total > width) widths[wide] = Math.max(WIDE_MIN, widths[wide] - (total - width));
  const table = new Table({
    head: columns.map(({ head }) => head),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    colWidths: widths,
    wordWrap: true,
    chars: lines,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  table.push(...cells);
  return `${table.toString().replace(/ +$/gm, '')}\n`;
}

/** Names and values, one pair a line. */
export function pairsOf(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}${GAP}${value}\n`).join('');
}

/** Text broken at blanks, each line with the same indent. */
export function paragraph(text: string, { width, indent }: { width: number; indent: string }): string {
  const out: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      out.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  out.push(line);
  return out.map((one) => `${indent}${one}\n`).join('');
}

/** With names as the HTTP interface has them, `like_this`; bytes become base64. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Uint8Array) return Buffer.from(part).toString('base64');
    if (ArrayBuffer.isView(part)) return Array.from(part as Float64Array);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).map(([name, inside]) => [snakeCase(name), inside]));
  });
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function longestLine(text: string): number {
  return Math.max(...text.split('\n').map((line) => line.length));
}
