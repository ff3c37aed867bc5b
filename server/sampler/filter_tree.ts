/**
 * A filter as data, its names, and its canonical text.
 *
 * Invariants, kept by parseFilter:
 * - `and` and `or` have two filters or more, none of them of their own kind: what parentheses do not change is flat;
 * - an order comparison has a number or a string; numbers are finite, and there is no -0;
 * - the canonical text of a filter parses into the same filter.
 */
import type { Scalar } from './json.ts';

export const filterLimits = { lengthMax: 4_096, depthMax: 32, nodesMax: 256 } as const;

export const equalities = ['==', '!='] as const;
export const orders = ['<', '<=', '>', '>='] as const;
export type Equality = (typeof equalities)[number];
export type Order = (typeof orders)[number];

export interface EqualityTest {
  readonly kind: 'equality';
  readonly name: string;
  readonly operator: Equality;
  readonly value: Scalar;
}

export interface OrderTest {
  readonly kind: 'order';
  readonly name: string;
  readonly operator: Order;
  readonly value: number | string;
}

export interface InTest {
  readonly kind: 'in' | 'not in';
  readonly name: string;
  readonly values: readonly Scalar[];
}

export interface ExistsTest {
  readonly kind: 'exists';
  readonly name: string;
}

export interface Negation {
  readonly kind: 'not';
  readonly filter: Filter;
}

export interface Junction {
  readonly kind: 'and' | 'or';
  readonly filters: readonly Filter[];
}

export type Filter = EqualityTest | OrderTest | InTest | ExistsTest | Negation | Junction;

/** The names that a filter asks for, each once, in the order in which they first stand in it. */
export function filterNames(filter: Filter): string[] {
  return [...new Set(namesIn(filter))];
}

function namesIn(filter: Filter): string[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(namesIn);
    case 'not':
      return namesIn(filter.filter);
    default:
      return [filter.name];
  }
}

/** One text for all spellings that differ in blanks, needless parentheses, quotes, escapes or digits: fit for a key. */
export function filterText(filter: Filter): string {
  switch (filter.kind) {
    case 'or':
      return filter.filters.map(filterText).join(' or ');
    case 'and':
      return filter.filters
        .map((part) => (part.kind === 'or' ? `(${filterText(part)})` : filterText(part)))
        .join(' and ');
    case 'not':
      return isJunction(filter.filter) ? `not (${filterText(filter.filter)})` : `not ${filterText(filter.filter)}`;
    case 'exists':
      return `exists ${filter.name}`;
    case 'in':
    case 'not in':
      return `${filter.name} ${filter.kind} [${filter.values.map((value) => JSON.stringify(value)).join(', ')}]`;
    default:
      return `${filter.name} ${filter.operator} ${JSON.stringify(filter.value)}`;
  }
}

function isJunction(filter: Filter): boolean {
  return filter.kind === 'and' || filter.kind === 'or';
}
