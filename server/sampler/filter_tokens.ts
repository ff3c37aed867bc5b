/**
 * The tokens of a filter's text, with the places where they begin; and the one error that reading a filter can end in.
 *
 * Invariant: the last token is the end, so that who looks at the next token always finds one.
 */
import type { Scalar } from './json.ts';

/** What is wrong with the text of a filter, fit for the details of a refusal. */
export class FilterError extends Error {
  /** Where, counted in UTF-16 code units from 0; the length of the text when it ended too early. */
  readonly position: number;
  readonly expected: string;
  readonly found: string;

  constructor(position: number, expected: string, found: string) {
    super(`filter, position ${position}: expected ${expected}, found ${found}`);
    this.name = 'FilterError';
    this.position = position;
    this.expected = expected;
    this.found = found;
  }
}

export interface Token {
  readonly kind: 'name' | 'word' | 'symbol' | 'value' | 'end';
  readonly position: number;
  /** As written. */
  readonly text: string;
  /** Of a value; null for the others. */
  readonly value: Scalar;
}

/** Not to be used as names. */
const words = ['and', 'or', 'not', 'in', 'exists'];
const constants: ReadonlyMap<string, Scalar> = new Map([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** There is no arithmetic, so `policy-lag` can only be one name. */
const namePattern = /[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)*/y;
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const symbolPattern = /[=!<>]=|[<>()[\],]/y;

/** What people write who come from other languages. */
const mistakes: ReadonlyMap<string, string> = new Map([
  ['=', '=='],
  ['!', 'not or !='],
  ['&', 'and'],
  ['|', 'or'],
]);

const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["'", "'"],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let position = skipBlanks(text, 0);
  while (position < text.length) {
    const token = readToken(text, position);
    tokens.push(token);
    position = skipBlanks(text, position + token.text.length);
  }
  tokens.push({ kind: 'end', position: text.length, text: '', value: null });
  return tokens;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at])) at += 1;
  return at;
}

function readToken(text: string, position: number): Token {
  const name = match(namePattern, text, position);
  if (name !== undefined) {
    const constant = constants.get(name);
    if (constant !== undefined) return { kind: 'value', position, text: name, value: constant };
    return { kind: words.includes(name) ? 'word' : 'name', position, text: name, value: null };
  }
  if (text[position] === '"' || text[position] === "'") return readString(text, position);
  const number = match(numberPattern, text, position);
  if (number !== undefined) return { kind: 'value', position, text: number, value: numberOf(number, position) };
  const symbol = match(symbolPattern, text, position);
  if (symbol !== undefined) return { kind: 'symbol', position, text: symbol, value: null };
  const char = String.fromCodePoint(text.codePointAt(position)!);
  throw new FilterError(position, mistakes.get(char) ?? 'a name, a value or an operator', JSON.stringify(char));
}

function match(pattern: RegExp, text: string, position: number): string | undefined {
  pattern.lastIndex = position;
  return pattern.exec(text)?.[0];
}

/** A rounded integer would compare as equal to the wrong row's id. */
function numberOf(text: string, position: number): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new FilterError(position, 'a number that a double can hold', text);
  if (/^-?[0-9]+$/.test(text) && !Number.isSafeInteger(value)) {
    throw new FilterError(position, 'an integer below 2^53, as a double holds no larger one exactly', text);
  }
  return value === 0 ? 0 : value;
}

function readString(text: string, position: number): Token {
  const quote = text[position];
  let value = '';
  for (let at = position + 1; at < text.length;) {
    const char = text[at];
    if (char === quote) return { kind: 'value', position, text: text.slice(position, at + 1), value };
    if (char < ' ') throw new FilterError(at, 'an escape such as \\n for a control character', JSON.stringify(char));
    const code = char === '\\' ? /^u[0-9A-Fa-f]{4}/.exec(text.slice(at + 1, at + 6))?.[0] : undefined;
    const escaped = char === '\\' ? escapes.get(text[at + 1]) : char;
    if (code !== undefined) value += String.fromCharCode(parseInt(code.slice(1), 16));
    else if (escaped !== undefined) value += escaped;
    else throw new FilterError(at, 'an escape of JSON', JSON.stringify(text.slice(at, at + 2)));
    at += code !== undefined ? 6 : char === '\\' ? 2 : 1;
  }
  throw new FilterError(text.length, `the closing ${quote} of the string at ${position}`, 'the end');
}
