/** The report of a check: a table of what was looked at, then each problem with its place and what to do about it. */
import { styleText } from 'node:util';
import { jsonOf, pairsOf, paragraph, tableOf, widthOf, type Column, type Output } from './print.ts';
import { checked, type Checked, type Count, type Problem, type Report } from './report.ts';
import { countText, idsText, namesText, plural, sizeText } from './words.ts';

const INDENT = '   ';

export function printReport(report: Report, { directory, output }: { directory: string; output: Output }): void {
  const width = widthOf(output);
  const order = Object.keys(checked) as Checked[];
  const rows = order.filter((what) => report.counts.has(what)).map((what) => [what, report.count(what)] as const);
  const columns: Column<readonly [Checked, Count]>[] = [
    { head: 'what', text: ([what]) => checked[what] },
    { head: 'count', align: 'right', text: ([, { count }]) => countText(count) },
    { head: 'bytes', align: 'right', text: ([, { bytes }]) => (bytes === 0 ? '' : sizeText(bytes)) },
    { head: 'problems', align: 'right', text: ([, { problems }]) => countText(problems) },
  ];
  output.write(`${directory}\n\n${tableOf(columns, rows, width)}\n`);
  for (const [i, problem] of report.problems.entries()) {
    printProblem(problem, { title: colored(`problem ${i + 1}`, 'red', output), width, output });
  }
  for (const note of report.notes) printProblem(note, { title: 'note', width, output });
  for (const what of report.unchecked) output.write(paragraph(`not checked: ${what}`, { width, indent: '' }));
  const count = rows.reduce((sum, [, { problems }]) => sum + problems, 0);
  const left = count - report.problems.length;
  if (left > 0) output.write(`${plural(left, 'further problem')} of the same kinds\n`);
  output.write(`${conclusion(report, count, output)}\n`);
}

function conclusion(report: Report, count: number, output: Output): string {
  if (report.isSound) return colored('sound', 'green', output);
  return colored(count === 0 ? 'not everything was checked' : plural(count, 'problem'), 'red', output);
}

function printProblem(problem: Problem, to: { title: string; width: number; output: Output }): void {
  const { title, width, output } = to;
  output.write(paragraph(`${title}: ${problem.what}`, { width, indent: '' }));
  const place = placeOf(problem);
  if (place.length > 0) output.write(pairsOf(place).replace(/^/gm, INDENT).trimEnd() + '\n');
  output.write(`${paragraph(problem.advice, { width, indent: INDENT })}\n`);
}

function placeOf(problem: Problem): [string, string][] {
  const { file, offset, length, lsn, partition, rows, rowCount = 0, fields, details } = problem;
  const pairs: [string, string | undefined][] = [
    ['file', file],
    ['bytes', rangeText(offset, length)],
    ['lsn', lsn?.toString()],
    ['partition', partition],
    ['rows', rows === undefined ? undefined : rowsText(rows, rowCount)],
    ['fields', fields === undefined || fields.length === 0 ? undefined : namesText(fields)],
    ...Object.entries(details ?? {})
      .filter(([name]) => !(name in problem) && name !== 'segment')
      .map(detailOf),
  ];
  return pairs.filter((pair): pair is [string, string] => pair[1] !== undefined);
}

function detailOf([name, value]: [string, unknown]): [string, string] {
  return [name.replaceAll('_', ' '), typeof value === 'string' ? value : jsonOf(value)];
}

function rangeText(offset?: number, length?: number): string | undefined {
  if (offset === undefined) return undefined;
  if (length === undefined) return `from ${countText(offset)}`;
  return `${countText(offset)} to ${countText(offset + length)} (${sizeText(length)})`;
}

function rowsText(rows: readonly number[], count: number): string {
  if (count === 0) return 'none';
  return count > rows.length ? `${idsText(rows)} and ${countText(count - rows.length)} more` : idsText(rows);
}

/** One object: the same words as the table. */
export function reportJson(report: Report, directory: string): Record<string, unknown> {
  return {
    directory,
    sound: report.isSound,
    checked: Object.fromEntries([...report.counts].map(([what, count]) => [checked[what], count])),
    problems: report.problems.map(({ of, ...problem }) => ({ of: checked[of], ...problem })),
    notes: report.notes,
    unchecked: report.unchecked,
  };
}

/** Colors only where they are seen; `styleText` itself heeds NO_COLOR. */
function colored(text: string, color: 'red' | 'green', output: Output): string {
  return output.isTTY === true ? styleText(color, text) : text;
}
