/** What a filter means, one case a line; what its canonical text is; and how a wrong one is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compileFilter,
  FilterError,
  filterLimits,
  filterNames,
  filterText,
  parseFilter,
} from '../../../server/sampler/filter.ts';
import type { Filter } from '../../../server/sampler/filter.ts';
import { valueAt, type JsonObject } from '../../../server/sampler/json.ts';
import { filters, holdsByTable, spelled, tagsForFilters } from './filter_model.ts';
import { casesOf, runs } from './table.ts';

const matching = String.raw`
  status == "finished"                        | {"status": "finished"}                      | yes
  status == "finished"                        | {"status": "running"}                       | no
  status == 'finished'                        | {"status": "finished"}                      | yes
  status == "finished" and reward > 0.5       | {"status": "finished", "reward": 0.75}      | yes
  status == "finished" and reward > 0.5       | {"status": "finished", "reward": 0.5}       | no
  status == "finished" and reward > 0.5       | {"status": "finished"}                      | no
  status == "failed" or reward < 0            | {"status": "finished", "reward": -1e-9}     | yes
  a == 1 or b == 1 and c == 1                 | {"a": 1, "b": 0, "c": 0}                    | yes
  (a == 1 or b == 1) and c == 1               | {"a": 1, "b": 0, "c": 0}                    | no
  not a == 1 and b == 1                       | {"a": 2, "b": 1}                            | yes
  not (a == 1 and b == 1)                     | {"a": 1, "b": 2}                            | yes
  not not a == 1                              | {"a": 1}                                    | yes

  x == 1                                      | {"x": "1"}                                  | no
  x == 1                                      | {"x": true}                                 | no
  x == true                                   | {"x": 1}                                    | no
  x == 0                                      | {"x": false}                                | no
  x == 0                                      | {"x": -0.0}                                 | yes
  x == ""                                     | {}                                          | no
  x == 1                                      | {"x": [1]}                                  | no
  x != 1                                      | {"x": [1]}                                  | yes
  x != 1                                      | {"x": "1"}                                  | yes
  x != 1                                      | {}                                          | yes
  x == null                                   | {}                                          | yes
  x == null                                   | {"x": null}                                 | yes
  x == null                                   | {"x": 0}                                    | no
  x != null                                   | {"x": 0}                                    | yes
  x != null                                   | {}                                          | no
  exists x                                    | {"x": 0}                                    | yes
  exists x                                    | {"x": false}                                | yes
  exists x                                    | {"x": {}}                                   | yes
  exists x                                    | {"x": null}                                 | no
  not exists x                                | {}                                          | yes

  x < 1                                       | {"x": 0.5}                                  | yes
  x <= 1                                      | {"x": 1}                                    | yes
  x >= 1                                      | {"x": 1}                                    | yes
  x > 1                                       | {"x": 1}                                    | no
  x < 1                                       | {}                                          | no
  x >= 0                                      | {}                                          | no
  x < 1                                       | {"x": null}                                 | no
  x < 1                                       | {"x": "0"}                                  | no
  x < 1                                       | {"x": false}                                | no
  x > "b"                                     | {"x": "c"}                                  | yes
  x > "b"                                     | {"x": "B"}                                  | no
  x >= "b"                                    | {"x": "b"}                                  | yes
  x < "b"                                     | {"x": 1}                                    | no
  x < "10"                                    | {"x": "9"}                                  | no
  not x < 1                                   | {"x": "0"}                                  | yes

  x in ["a", "b"]                             | {"x": "b"}                                  | yes
  x in ["a", "b"]                             | {"x": "c"}                                  | no
  x in ["a", 1, true, null]                   | {"x": 1}                                    | yes
  x in ["a", 1, true, null]                   | {}                                          | yes
  x in ["1"]                                  | {"x": 1}                                    | no
  x in []                                     | {"x": 1}                                    | no
  x not in ["a", "b"]                         | {"x": "c"}                                  | yes
  x not in ["a", "b"]                         | {}                                          | yes
  x not in ["a", null]                        | {}                                          | no
  x not in []                                 | {"x": 1}                                    | yes
  x in [1]                                    | {"x": [1]}                                  | no

  source.name == "gsm8k"                      | {"source": {"name": "gsm8k"}}               | yes
  source.name == "gsm8k"                      | {"source.name": "gsm8k"}                    | yes
  source.name == "gsm8k"                      | {"source": "gsm8k"}                         | no
  a.b.c >= 2                                  | {"a": {"b": {"c": 2}}}                      | yes
  a.b.c >= 2                                  | {"a": {"b.c": 2}}                           | yes
  exists a.b                                  | {"a": {"b": {"c": 2}}}                      | yes
  exists a.0                                  | {"a": [1]}                                  | no
  exists a.length                             | {"a": [1]}                                  | no
  exists toString                             | {}                                          | no
  exists a.constructor                        | {"a": {}}                                   | no
  exists __proto__.valueOf                    | {}                                          | no
  policy-lag <= 2                             | {"policy-lag": 1}                           | yes
  x == "a\"b\u0041\n"                      | {"x": "a\"bA\n"}                          | yes
  x == 'it\'s'                               | {"x": "it's"}                               | yes
  x == "漢字 \ud83d\ude00"                  | {"x": "漢字 😀"}                            | yes
`;

/** JSON has no NaN, but a number column has. */
const brokenNumbers = String.raw`
  x == 1           | no
  x != 1           | no
  x != "a"         | no
  x < 1            | no
  x >= 1           | no
  x in [1]         | no
  x not in [1]     | no
  x == null        | no
  x != null        | no
  exists x         | yes
  not x == 1       | yes
`;

const spellings = String.raw`
  status=="finished"and(reward>0.5)           | status == "finished" and reward > 0.5
  ((a == 1))                                  | a == 1
  (a == 1 and b == 2) and c == 3              | a == 1 and b == 2 and c == 3
  a == 1 and (b == 2 and c == 3)              | a == 1 and b == 2 and c == 3
  (a == 1 and b == 2) or c == 3               | a == 1 and b == 2 or c == 3
  (a == 1 or b == 2) and c == 3               | (a == 1 or b == 2) and c == 3
  not (a == 1)                                | not a == 1
  not(a == 1 or b == 2)                       | not (a == 1 or b == 2)
  x in ['a','b', 1.0 ]                        | x in ["a", "b", 1]
  x not  in []                                | x not in []
  x == 1e2 or x == -0 or x == 0.50            | x == 100 or x == 0 or x == 0.5
  x == '\u0061"'                             | x == "a\""
  exists  a.b                                 | exists a.b
  not not exists a                            | not not exists a
  andy == 1 or nothing == 2                   | andy == 1 or nothing == 2
`;

/** The mark ^ stands where the error is found. */
const refused = String.raw`
  ^                         -> a name, "not", "exists" or "("                        -> the end
  ^== 1                     -> a name, "not", "exists" or "("                        -> "=="
  ^0 < x                    -> a name, "not", "exists" or "("                        -> 0
  ^in == 1                  -> a name, "not", "exists" or "("                        -> "in"
  a == 1 and^               -> a name, "not", "exists" or "("                        -> the end
  status == ^finished       -> a number, a string (in quotes), true, false or null   -> "finished"
  status == ^True           -> a number, a string (in quotes), true, false or null   -> "True"
  x in ["a",^]              -> a number, a string (in quotes), true, false or null   -> "]"
  x > ^true                 -> a number or a string (in quotes) after >              -> true
  x <= ^null                -> a number or a string (in quotes) after <=             -> null
  status^                   -> an operator: == != < <= > >= "in" or "not in"         -> the end
  status^"a"                -> an operator: == != < <= > >= "in" or "not in"         -> "a"
  a == 1 ^AND b == 2        -> "and", "or" or the end                                -> "AND"
  a == 1 ^b == 2            -> "and", "or" or the end                                -> "b"
  x < 1 ^< 2                -> "and", "or" or the end                                -> "<"
  a == 1^)                  -> "and", "or" or the end                                -> ")"
  a == 0^1                  -> "and", "or" or the end                                -> 1
  (a == 1^                  -> ")"                                                   -> the end
  x in ^"a"                 -> "["                                                   -> "a"
  x in ["a" ^"b"]           -> "," or "]"                                            -> "b"
  x in ["a"^                -> "," or "]"                                            -> the end
  x not ^== 1               -> "in"                                                  -> "=="
  exists ^"x"               -> a name                                                -> "x"
  status ^= "a"             -> ==                                                    -> "="
  a == 1 ^&& b == 2         -> and                                                   -> "&"
  a == 1 ^|| b == 2         -> or                                                    -> "|"
  ^!a == 1                  -> not or !=                                             -> "!"
  a^..b == 1                -> a name, a value or an operator                        -> "."
  a == 1^.                  -> a name, a value or an operator                        -> "."
  a == ^+1                  -> a name, a value or an operator                        -> "+"
  ^é == 1                   -> a name, a value or an operator                        -> "é"
  a ^😀 1                   -> a name, a value or an operator                        -> "😀"
  a == ^1e999               -> a number that a double can hold                       -> 1e999
  a == ^9007199254740993    -> an integer below 2^53, as a double holds no larger one exactly -> 9007199254740993
  a == "b^                  -> the closing " of the string at 5                      -> the end
  a == "b^\x"               -> an escape of JSON                                     -> "\\x"
  a == "b^\u12g4"           -> an escape of JSON                                     -> "\\u"
  a == "b^\                 -> an escape of JSON                                     -> "\\"
`;

test.each(casesOf(matching))('%s on %s: %s', (text, tags, expected) => {
  const holds = compileFilter(parseFilter(text));
  const row = JSON.parse(tags) as JsonObject;
  expect(holds((name) => valueAt(row, name)) ? 'yes' : 'no').toBe(expected);
});

test.each(casesOf(brokenNumbers))('%s when x is NaN: %s', (text, expected) => {
  expect(compileFilter(parseFilter(text))(() => NaN) ? 'yes' : 'no').toBe(expected);
});

test.each(casesOf(spellings))('%s is the same as %s', (text, canonical) => {
  expect(parseFilter(text)).toEqual(parseFilter(canonical));
  expect(filterText(parseFilter(text))).toBe(canonical);
  expect(filterText(parseFilter(canonical))).toBe(canonical);
});

test.each(casesOf(refused, '->'))('%s expects %s, finds %s', (marked, expected, found) => {
  const position = marked.indexOf('^');
  const error = errorOf(marked.replace('^', ''));
  expect(error).toBeInstanceOf(FilterError);
  expect(error).toMatchObject({ position, expected, found });
  expect((error as FilterError).message).toBe(`filter, position ${position}: expected ${expected}, found ${found}`);
});

test('control characters in strings are refused where they stand', () => {
  expect(errorOf('a == "b\nc"')).toMatchObject({ position: 7, found: '"\\n"' });
});

test('names come once, in their order', () => {
  const filter = parseFilter('b == 1 and (a.x in [1] or not exists c) and b < 2');
  expect(filterNames(filter)).toEqual(['b', 'a.x', 'c']);
});

test('long tokens are cut in errors', () => {
  expect(errorOf(`a == ${'b'.repeat(100)}`)).toMatchObject({ found: `"${'b'.repeat(40)}..."` });
});

describe('bounds', () => {
  const { lengthMax, depthMax, nodesMax } = filterLimits;
  const equal = 'a == ""';
  const ofLength = (length: number): string => `a == "${'x'.repeat(length - equal.length)}"`;
  const ofDepth = (depth: number): string => `${'('.repeat(depth)}${equal}${')'.repeat(depth)}`;
  const junction = (tests: number): string => Array.from({ length: tests }, () => 'a<1').join(' or ');

  test.each([
    ['length', ofLength(lengthMax), ofLength(lengthMax + 1), lengthMax],
    ['depth of parentheses', ofDepth(depthMax), ofDepth(depthMax + 1), depthMax],
    ['depth of not', 'not '.repeat(depthMax) + equal, 'not '.repeat(depthMax + 1) + equal, 4 * depthMax],
    ['nodes', junction(nodesMax - 1), junction(nodesMax), junction(nodesMax).length],
  ])('%s', (_, largest, over, position) => {
    expect(filterText(parseFilter(largest))).not.toBe('');
    expect(errorOf(over)).toMatchObject({ position });
  });

  test('length of the canonical text, which must parse again', () => {
    const list = (count: number): string => `a in [${Array.from({ length: count }, () => '1').join()}]`;
    expect(filterText(parseFilter(list(1_363)))).toHaveLength(lengthMax - 2);
    expect(list(1_364).length).toBeLessThan(lengthMax);
    expect(errorOf(list(1_364))).toMatchObject({ position: list(1_364).length, found: `${lengthMax + 1}` });
  });

  test('a depth that is left does not count', () => {
    const filter = Array.from({ length: 40 }, () => '((a<1))').join(' and ');
    expect(() => parseFilter(filter)).not.toThrow();
  });
});

test('any spelling of a filter gives the filter, and its canonical text', () => {
  const property = fc.property(filters, fc.gen(), (filter, gen) => {
    const text = spelled(filter, (count) => gen(fc.nat, { max: count - 1 }));
    const parsed = parseFilter(text);
    expect(parsed).toEqual(filter);
    expect(filterText(parsed)).toBe(filterText(filter));
    expect(parseFilter(filterText(filter))).toEqual(filter);
  });
  fc.assert(property, runs);
});

test('compiled filters say what the table says', () => {
  const property = fc.property(filters, tagsForFilters, (filter: Filter, tags) => {
    const holds = compileFilter(filter);
    const valueOf = (name: string) => (Object.hasOwn(tags, name) ? tags[name] : undefined);
    expect(holds(valueOf)).toBe(holdsByTable(filter, tags));
  });
  fc.assert(property, runs);
});

test('any text is a filter or a FilterError with a place in it', () => {
  const words = fc.constantFrom(
    ..."and or not in exists ( ) [ ] , == != < >= 1 -0.5 1e3 'a' \" \\ a b.c true null =".split(' '),
  );
  const soup = fc.array(fc.oneof({ weight: 9, arbitrary: words }, fc.string({ unit: 'binary' })), { maxLength: 30 });
  const property = fc.property(soup, fc.constantFrom(' ', ''), (parts, gap) => {
    const text = parts.join(gap);
    const error = errorOf(text);
    if (error === undefined) return;
    expect(error).toBeInstanceOf(FilterError);
    const { position } = error as FilterError;
    expect(position >= 0 && position <= text.length).toBe(true);
  });
  fc.assert(property, { ...runs, numRuns: 4 * runs.numRuns });
});

function errorOf(text: string): unknown {
  try {
    parseFilter(text);
    return undefined;
  } catch (error) {
    return error;
  }
}
