/**
 * From the text of a filter to its tree, by recursive descent; filter.ts has the grammar.
 *
 * What bounds it: the length bounds the tokens, the depth of `(` and `not` bounds the recursion, the number of nodes
 * bounds what one evaluation costs. The lists of `in` count as one node: a look into a set has one price.
 */
import {
  equalities,
  filterLimits,
  filterText,
  orders,
  type Equality,
  type Filter,
  type Junction,
  type Order,
} from './filter_tree.ts';
import { FilterError, tokensOf, type Token } from './filter_tokens.ts';
import type { Scalar } from './json.ts';

/** Characters of a token in an error. */
const SHOWN_MAX = 40;

interface Cursor {
  readonly tokens: readonly Token[];
  at: number;
  nodes: number;
  depth: number;
}

/** The tree of a text. Throws FilterError. */
export function parseFilter(text: string): Filter {
  const { lengthMax } = filterLimits;
  if (text.length > lengthMax) throw tooLong(lengthMax, text.length);
  const cursor: Cursor = { tokens: tokensOf(text), at: 0, nodes: 0, depth: 0 };
  const filter = parseOr(cursor);
  if (next(cursor).kind !== 'end') throw unexpected(cursor, '"and", "or" or the end');
  // Blanks and escapes that the canonical text adds may make it longer; what is kept as text must parse again.
  const canonicalLength = filterText(filter).length;
  if (canonicalLength > lengthMax) throw tooLong(text.length, canonicalLength);
  return filter;
}

function tooLong(position: number, length: number): FilterError {
  return new FilterError(position, `at most ${filterLimits.lengthMax} characters`, `${length}`);
}

function parseOr(cursor: Cursor): Filter {
  return parseJunction(cursor, 'or', parseAnd);
}

function parseAnd(cursor: Cursor): Filter {
  return parseJunction(cursor, 'and', parseNot);
}

function parseJunction(cursor: Cursor, kind: Junction['kind'], parsePart: (cursor: Cursor) => Filter): Filter {
  const parts = [parsePart(cursor)];
  while (accept(cursor, 'word', kind)) parts.push(parsePart(cursor));
  if (parts.length === 1) return parts[0];
  countNode(cursor);
  return { kind, filters: parts.flatMap((part) => (part.kind === kind ? part.filters : [part])) };
}

function parseNot(cursor: Cursor): Filter {
  if (next(cursor).text === '(' || next(cursor).text === 'not') return parseInner(cursor);
  return parseTest(cursor);
}

/** What is one level deeper. */
function parseInner(cursor: Cursor): Filter {
  const { depthMax } = filterLimits;
  if (cursor.depth === depthMax) throw unexpected(cursor, `at most ${depthMax} levels of parentheses and "not"`);
  cursor.depth += 1;
  let filter: Filter;
  if (accept(cursor, 'word', 'not')) {
    countNode(cursor);
    filter = { kind: 'not', filter: parseNot(cursor) };
  } else {
    expectSymbol(cursor, '(');
    filter = parseOr(cursor);
    expectSymbol(cursor, ')');
  }
  cursor.depth -= 1;
  return filter;
}

function parseTest(cursor: Cursor): Filter {
  countNode(cursor);
  if (accept(cursor, 'word', 'exists')) return { kind: 'exists', name: expectName(cursor, 'a name') };
  const name = expectName(cursor, 'a name, "not", "exists" or "("');
  if (accept(cursor, 'word', 'in')) return { kind: 'in', name, values: parseList(cursor) };
  if (accept(cursor, 'word', 'not')) {
    if (!accept(cursor, 'word', 'in')) throw unexpected(cursor, '"in"');
    return { kind: 'not in', name, values: parseList(cursor) };
  }
  const { text } = next(cursor);
  const equality = equalities.find((operator) => operator === text);
  const order = orders.find((operator) => operator === text);
  if (equality === undefined && order === undefined) {
    throw unexpected(cursor, 'an operator: == != < <= > >= "in" or "not in"');
  }
  cursor.at += 1;
  return equality !== undefined ? parseEquality(cursor, name, equality) : parseOrder(cursor, name, order!);
}

function parseEquality(cursor: Cursor, name: string, operator: Equality): Filter {
  return { kind: 'equality', name, operator, value: expectValue(cursor) };
}

/** Other values have no order; such a comparison could never hold, and nobody means that. */
function parseOrder(cursor: Cursor, name: string, operator: Order): Filter {
  const { kind, value } = next(cursor);
  if (kind !== 'value' || (typeof value !== 'number' && typeof value !== 'string')) {
    throw unexpected(cursor, `a number or a string (in quotes) after ${operator}`);
  }
  cursor.at += 1;
  return { kind: 'order', name, operator, value };
}

function parseList(cursor: Cursor): Scalar[] {
  const values: Scalar[] = [];
  expectSymbol(cursor, '[');
  if (accept(cursor, 'symbol', ']')) return values;
  do values.push(expectValue(cursor));
  while (accept(cursor, 'symbol', ','));
  if (!accept(cursor, 'symbol', ']')) throw unexpected(cursor, '"," or "]"');
  return values;
}

/** No name: the commonest slip, a string without quotes, would be a comparison with a name that no row has. */
function expectValue(cursor: Cursor): Scalar {
  const { kind, value } = next(cursor);
  if (kind !== 'value') throw unexpected(cursor, 'a number, a string (in quotes), true, false or null');
  cursor.at += 1;
  return value;
}

function expectName(cursor: Cursor, what: string): string {
  const { kind, text } = next(cursor);
  if (kind !== 'name') throw unexpected(cursor, what);
  cursor.at += 1;
  return text;
}

function expectSymbol(cursor: Cursor, symbol: string): void {
  if (!accept(cursor, 'symbol', symbol)) throw unexpected(cursor, `"${symbol}"`);
}

function accept(cursor: Cursor, kind: Token['kind'], text: string): boolean {
  const token = next(cursor);
  if (token.kind !== kind || token.text !== text) return false;
  cursor.at += 1;
  return true;
}

function next(cursor: Cursor): Token {
  return cursor.tokens[cursor.at];
}

function countNode(cursor: Cursor): void {
  cursor.nodes += 1;
  const { nodesMax } = filterLimits;
  if (cursor.nodes > nodesMax) throw unexpected(cursor, `at most ${nodesMax} tests, "and", "or" and "not"`);
}

function unexpected(cursor: Cursor, expected: string): FilterError {
  const { kind, position, text } = next(cursor);
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
  return new FilterError(position, expected, kind === 'end' ? 'the end' : kind === 'value' ? shown : `"${shown}"`);
}
