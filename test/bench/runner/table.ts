/** Results as lines of a table. */

import type { Result } from './suite.ts';

const columns: readonly { head: string; width: number; cell: (result: Result) => string }[] = [
  { head: 'case', width: 44, cell: (result) => result.case },
  { head: 'metric', width: 14, cell: (result) => result.metric },
  { head: 'ours', width: 12, cell: (result) => figure(result.ours) },
  { head: 'unit', width: 8, cell: (result) => result.unit },
  { head: 'spread', width: 8, cell: (result) => `${Math.round(result.spread * 100)} %` },
  { head: 'peer', width: 12, cell: (result) => (result.peer === null ? '' : figure(result.peer)) },
  { head: 'ratio', width: 8, cell: (result) => (result.ratio === null ? '' : result.ratio.toFixed(2)) },
  { head: 'against', width: 0, cell: (result) => result.peerName ?? '' },
];

export function tableHead(suite: string): string {
  return `\n${suite}\n${columns.map(({ head, width }) => head.padEnd(width)).join(' ')}`.trimEnd();
}

export function tableLine(result: Result): string {
  return columns
    .map(({ width, cell }) => cell(result).padEnd(width))
    .join(' ')
    .trimEnd();
}

/** Three significant digits, no exponent. */
function figure(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}
