/** The token budget: `tokens x rows` of each unit, x 1 where it is a row; and how many of them are a batch. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutByBudget } from '../../../server/sampler/budget.ts';
import { casesOf, numbersOf, runs } from './table.ts';

/** tokens at most | rows at most | units | units taken, their tokens and rows | why it stops */
const table = `
  10 | 9 | 3 3 3 3              | 3: 9 tokens, 3 rows     | tokens
  10 | 9 | 3 3                  | 2: 6 tokens, 2 rows     | end
  10 | 9 | 3 3 4                | 3: 10 tokens, 3 rows    | tokens
  10 | 9 | 3 3 4 1              | 3: 10 tokens, 3 rows    | tokens
  10 | 9 | 3 3 4 0              | 4: 10 tokens, 4 rows    | tokens
  10 | 9 | 4 7 1 1 1            | 1: 4 tokens, 1 rows     | tokens
  10 | 9 | 10 1                 | 1: 10 tokens, 1 rows    | tokens
  10 | 9 | 11 1                 | 0: 0 tokens, 0 rows     | too_large
  10 | 9 | 1 11 1               | 1: 1 tokens, 1 rows     | tokens
  10 | 9 | Infinity             | 0: 0 tokens, 0 rows     | too_large
  10 | 9 | -                    | 0: 0 tokens, 0 rows     | no_length
  10 | 9 | -1                   | 0: 0 tokens, 0 rows     | no_length
  10 | 9 | 1 - 1                | 1: 1 tokens, 1 rows     | tokens
  10 | 9 |                      | 0: 0 tokens, 0 rows     | end
  10 | 2 | 1 1 1                | 2: 2 tokens, 2 rows     | rows
  10 | 2 | 1 1                  | 2: 2 tokens, 2 rows     | rows
  10 | 2 | 5 5 1                | 2: 10 tokens, 2 rows    | rows
  10 | 8 | 4x4 4x4 2x4          | 2: 8 tokens, 8 rows     | rows
  10 | 9 | 4x4 4x4 2x4          | 2: 8 tokens, 8 rows     | rows
  10 | 9 | 6x4 6x4              | 1: 6 tokens, 4 rows     | tokens
  10 | 3 | 6x4                  | 0: 0 tokens, 0 rows     | too_large
  10 | 3 | -x4                  | 0: 0 tokens, 0 rows     | no_length
  10 | 9 | 0 0 0                | 3: 0 tokens, 3 rows     | end
`;

test.each(casesOf(table, '|'))(
  'at most %s tokens and %s rows of %s: %s, %s',
  (tokensMax, rowsMax, units, taken, stop) => {
    const words = units === '' ? [] : units.split(' ').map((unit) => unit.split('x'));
    const given = {
      tokens: words.map(([tokens]) => numbersOf(tokens)[0]),
      rows: words.map(([, rows = '1']) => Number(rows)),
    };
    const cut = cutByBudget(given, { tokensMax: Number(tokensMax), rowsMax: Number(rowsMax) });
    expect(`${cut.units}: ${cut.tokens} tokens, ${cut.rows} rows`).toBe(taken);
    expect(cut.stop).toBe(stop);
  },
);

const budget = fc.record({ tokensMax: fc.integer({ min: 1, max: 50 }), rowsMax: fc.integer({ min: 1, max: 12 }) });
const units = fc.array(fc.record({ tokens: fc.integer({ min: -1, max: 60 }), rows: fc.integer({ min: 1, max: 6 }) }), {
  maxLength: 30,
});
const columnsOf = (list: readonly { tokens: number; rows: number }[]) => ({
  tokens: list.map(({ tokens }) => tokens),
  rows: list.map(({ rows }) => rows),
});

test('a batch keeps both bounds, and one unit more would not', () => {
  const property = fc.property(units, budget, (list, { tokensMax, rowsMax }) => {
    const cut = cutByBudget(columnsOf(list), { tokensMax, rowsMax });
    const sum = (of: 'tokens' | 'rows', count: number) => list.slice(0, count).reduce((all, unit) => all + unit[of], 0);
    expect([cut.tokens, cut.rows]).toEqual([sum('tokens', cut.units), sum('rows', cut.units)]);
    expect(cut.tokens <= tokensMax && cut.rows <= rowsMax).toBe(true);
    if (cut.units === list.length) return;
    const isUnknown = list[cut.units].tokens < 0;
    expect(isUnknown || sum('tokens', cut.units + 1) > tokensMax || sum('rows', cut.units + 1) > rowsMax).toBe(true);
  });
  fc.assert(property, runs);
});

test('batch after batch, every unit gets its turn, in order; only the ones that never fit are named', () => {
  const property = fc.property(units, budget, (list, bounds) => {
    const named: number[] = [];
    let from = 0;
    for (let turn = 0; from < list.length; turn += 1) {
      expect(turn).toBeLessThan(list.length);
      const cut = cutByBudget(columnsOf(list.slice(from)), bounds);
      if (cut.units === 0) named.push(from);
      from += Math.max(1, cut.units);
    }
    const misfits = list.flatMap(({ tokens, rows }, at) => {
      return tokens < 0 || tokens > bounds.tokensMax || rows > bounds.rowsMax ? [at] : [];
    });
    expect(named).toEqual(misfits);
  });
  fc.assert(property, runs);
});
