/** A filter as one function: closures made once, so that an evaluation neither walks the tree nor looks at kinds. */
import type { EqualityTest, Filter, InTest, Junction, OrderTest } from './filter_tree.ts';
import type { Json } from './json.ts';

/** The value that a row has for a name; undefined when it has none. */
export type ValueOf = (name: string) => Json | undefined;
export type Predicate = (valueOf: ValueOf) => boolean;

/** Total: whatever values there are, the function answers, and throws only what `valueOf` throws. */
export function compileFilter(filter: Filter): Predicate {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return compileJunction(filter);
    case 'not': {
      const inner = compileFilter(filter.filter);
      return (valueOf) => !inner(valueOf);
    }
    case 'exists': {
      const { name } = filter;
      return (valueOf) => (valueOf(name) ?? null) !== null;
    }
    case 'in':
    case 'not in':
      return compileIn(filter);
    case 'order':
      return compileOrder(filter);
    case 'equality':
      return compileEquality(filter);
  }
}

/** From left to right, as far as it takes. */
function compileJunction({ kind, filters }: Junction): Predicate {
  const join = kind === 'and' ? both : either;
  return filters.map(compileFilter).reduce((left, right) => join(left, right));
}

function both(left: Predicate, right: Predicate): Predicate {
  return (valueOf) => left(valueOf) && right(valueOf);
}

function either(left: Predicate, right: Predicate): Predicate {
  return (valueOf) => left(valueOf) || right(valueOf);
}

function compileEquality({ name, operator, value: wanted }: EqualityTest): Predicate {
  if (operator === '==') {
    return wanted === null ? (valueOf) => (valueOf(name) ?? null) === null : (valueOf) => valueOf(name) === wanted;
  }
  return (valueOf) => {
    const value = valueOf(name) ?? null;
    return value !== wanted && !Number.isNaN(value);
  };
}

function compileOrder({ name, operator, value: bound }: OrderTest): Predicate {
  return typeof bound === 'number'
    ? compileNumberOrder(name, operator, bound)
    : compileTextOrder(name, operator, bound);
}

function compileNumberOrder(name: string, operator: OrderTest['operator'], bound: number): Predicate {
  const of = (valueOf: ValueOf): number => {
    const value = valueOf(name);
    return typeof value === 'number' ? value : NaN;
  };
  switch (operator) {
    case '<':
      return (valueOf) => of(valueOf) < bound;
    case '<=':
      return (valueOf) => of(valueOf) <= bound;
    case '>':
      return (valueOf) => of(valueOf) > bound;
    case '>=':
      return (valueOf) => of(valueOf) >= bound;
  }
}

function compileTextOrder(name: string, operator: OrderTest['operator'], bound: string): Predicate {
  const holds = (compare: (value: string) => boolean): Predicate => {
    return (valueOf) => {
      const value = valueOf(name);
      return typeof value === 'string' && compare(value);
    };
  };
  switch (operator) {
    case '<':
      return holds((value) => value < bound);
    case '<=':
      return holds((value) => value <= bound);
    case '>':
      return holds((value) => value > bound);
    case '>=':
      return holds((value) => value >= bound);
  }
}

/** Objects and lists are in no set of scalars: a set compares them by identity. */
function compileIn({ kind, name, values }: InTest): Predicate {
  const set: ReadonlySet<Json> = new Set(values);
  if (kind === 'in') return (valueOf) => set.has(valueOf(name) ?? null);
  return (valueOf) => {
    const value = valueOf(name) ?? null;
    return !set.has(value) && !Number.isNaN(value);
  };
}
