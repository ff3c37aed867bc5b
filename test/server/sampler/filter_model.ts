/** Random filters, their spellings, and what they mean: by the table in filter.ts, read cell by cell. */
import fc from 'fast-check';
import type { Filter } from '../../../server/sampler/filter.ts';
import { orders } from '../../../server/sampler/filter_tree.ts';
import type { Json, JsonObject, Scalar } from '../../../server/sampler/json.ts';

const names = fc.constantFrom('a', 'b', 'c.d', 'x-y', '_1', 'inner', 'note', 'toString');
const numbers = fc.oneof(fc.constantFrom(0, 1, 2, 0.5), fc.double({ noNaN: true, noDefaultInfinity: true }));
const number = numbers.filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)).map((n) => n || 0);
const text = fc.oneof(
  fc.constantFrom('', 'a', 'b', '"', "'", '\\', 'a\n', '\ud800', '漢'),
  fc.string({ unit: 'binary' }),
);
const scalar: fc.Arbitrary<Scalar> = fc.oneof(fc.constantFrom(null, true, false), number, text);

const tests: fc.Arbitrary<Filter> = fc.oneof(
  fc.record({
    kind: fc.constant('equality' as const),
    name: names,
    operator: fc.constantFrom('==', '!='),
    value: scalar,
  }),
  fc.record({
    kind: fc.constant('order' as const),
    name: names,
    operator: fc.constantFrom(...orders),
    value: fc.oneof(number, text),
  }),
  fc.record({ kind: fc.constantFrom('in', 'not in'), name: names, values: fc.array(scalar, { maxLength: 4 }) }),
  fc.record({ kind: fc.constant('exists' as const), name: names }),
);

const { tree } = fc.letrec<{ tree: Filter }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    tests,
    fc.record({ kind: fc.constant('not' as const), filter: tie('tree') }),
    fc
      .record({
        kind: fc.constantFrom('and', 'or'),
        filters: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
      })
      .map(flattened),
  ),
}));

export const filters: fc.Arbitrary<Filter> = tree;

/** As parseFilter leaves it: no junction directly in one of its kind. */
function flattened({ kind, filters }: Extract<Filter, { kind: 'and' | 'or' }>): Filter {
  return { kind, filters: filters.flatMap((part) => (part.kind === kind ? part.filters : [part])) };
}

/** Names with values of all kinds, NaN among them, which makes them more than JSON. */
export const tagsForFilters: fc.Arbitrary<JsonObject> = fc.dictionary(
  names,
  fc.oneof(scalar, fc.constant(NaN), fc.constant([1]), fc.constant({ d: 1 })) as fc.Arbitrary<Json>,
);

/** A text of the filter with blanks, parentheses and quotes by chance; `choose(n)` gives 0 to n - 1. */
export function spelled(filter: Filter, choose: (count: number) => number): string {
  const blank = (): string => ['', ' ', '\t', ' \n '][choose(4)];
  const gap = (): string => [' ', '  ', '\n'][choose(3)];
  const literal = (value: Scalar): string => {
    if (typeof value !== 'string' || choose(2) === 0) return JSON.stringify(value);
    return `'${JSON.stringify(value).slice(1, -1).replaceAll("'", "\\'")}'`;
  };
  const wrap = (inner: string): string => `(${blank()}${inner}${blank()})`;
  const spell = (one: Filter): string => {
    const plain = spellPlain(one);
    return choose(4) === 0 ? wrap(plain) : plain;
  };
  const spellPlain = (one: Filter): string => {
    switch (one.kind) {
      case 'and':
      case 'or':
        return one.filters
          .map((part) => (isPlainTest(part) ? spell(part) : wrap(spell(part))))
          .join(`${gap()}${one.kind}${gap()}`);
      case 'not':
        return `not${gap()}${isPlainTest(one.filter) ? spell(one.filter) : wrap(spell(one.filter))}`;
      case 'exists':
        return `exists${gap()}${one.name}`;
      case 'in':
      case 'not in': {
        const list = one.values.map((value) => `${blank()}${literal(value)}${blank()}`).join(',');
        return `${one.name}${gap()}${one.kind.replace(' ', gap())}${blank()}[${list}${blank()}]`;
      }
      default:
        return `${one.name}${blank()}${one.operator}${blank()}${literal(one.value)}`;
    }
  };
  return `${blank()}${spell(filter)}${blank()}`;
}

function isPlainTest({ kind }: Filter): boolean {
  return kind !== 'and' && kind !== 'or' && kind !== 'not';
}

export function holdsByTable(filter: Filter, tags: JsonObject): boolean {
  if ('filters' in filter) {
    const each = filter.filters.map((part) => holdsByTable(part, tags));
    return filter.kind === 'and' ? !each.includes(false) : each.includes(true);
  }
  if (filter.kind === 'not') return !holdsByTable(filter.filter, tags);
  const value = Object.hasOwn(tags, filter.name) ? tags[filter.name] : null;
  if (filter.kind === 'exists') return value !== null;
  if (Number.isNaN(value)) return false;
  const isSame = (wanted: Scalar): boolean => typeof value === typeof wanted && value === wanted;
  switch (filter.kind) {
    case 'in':
      return filter.values.some(isSame);
    case 'not in':
      return !filter.values.some(isSame);
    case 'equality':
      return isSame(filter.value) === (filter.operator === '==');
    case 'order': {
      if (typeof value !== typeof filter.value) return false;
      const [left, right] = [value as string, filter.value as string];
      return (
        (left < right && filter.operator.startsWith('<')) ||
        (left > right && filter.operator.startsWith('>')) ||
        (left === right && filter.operator.endsWith('='))
      );
    }
  }
}
