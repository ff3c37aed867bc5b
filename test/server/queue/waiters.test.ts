/** Parked claims: who is tried when, and in which order. */
import { describe, expect, test } from 'vitest';
import { machine } from '../../../server/queue/machine.ts';
import {
  addClaimWaiter,
  createClaimWaiters,
  hasLine,
  removeClaimWaiter,
  wakeAfter,
  wakeAll,
  wakeByFields,
  wakeLine,
  type ClaimWaiter,
  type ClaimWaiters,
} from '../../../server/queue/waiters.ts';
import { createPlainBitmaps } from './plain_bitmaps.ts';

interface Named extends ClaimWaiter {
  readonly name: string;
}

function waiter(name: string, task: string, fields: readonly number[], sampler: 'fifo' | 'group' = 'fifo'): Named {
  return { name, command: { task, fields, sampler } };
}

/** Who is tried when `served` can be served. */
function tried(wake: (attempt: (waiter: Named) => boolean) => void, served: readonly string[]): string {
  const names: string[] = [];
  wake(({ name }) => {
    names.push(name);
    return served.includes(name);
  });
  return names.join(' ');
}

function parked(...list: readonly Named[]): ClaimWaiters<Named> {
  const waiters = createClaimWaiters<Named>();
  for (const each of list) addClaimWaiter(waiters, each);
  return waiters;
}

describe('parked claims', () => {
  const a1 = waiter('a1', 't', [0, 1]);
  const a2 = waiter('a2', 't', [1, 0]);
  const b = waiter('b', 't', [2]);
  const c = waiter('c', 'u', [1]);
  const g = waiter('g', 't', [0, 1], 'group');
  const any = waiter('any', 'u', []);

  test('only lines that need one of the fields are tried, and only their heads', () => {
    const waiters = parked(a1, a2, b, c, g, any);
    expect(tried((attempt) => wakeByFields(waiters, [0], attempt), [])).toBe('any a1 g');
    expect(tried((attempt) => wakeByFields(waiters, [1, 2], attempt), [])).toBe('any a1 c g b');
    expect(tried((attempt) => wakeByFields(waiters, [3], attempt), [])).toBe('any');
  });

  test('the next in line is tried when the head was served', () => {
    const waiters = parked(a1, a2);
    expect(tried((attempt) => wakeByFields(waiters, [0], attempt), ['a2'])).toBe('a1');
    expect(tried((attempt) => wakeByFields(waiters, [0], attempt), ['a1'])).toBe('a1 a2');
    expect(tried((attempt) => wakeByFields(waiters, [0], attempt), ['a2'])).toBe('a2');
    expect(hasLine(waiters, a1)).toBe(false);
    expect(waiters.byField.byField.size + waiters.byTask.size + waiters.lines.size).toBe(0);
  });

  test('all are woken together, and each once', () => {
    const waiters = parked(a1, b, c);
    expect(tried((attempt) => wakeAll(waiters, attempt), ['a1', 'b', 'c'])).toBe('a1 b c');
    expect(tried((attempt) => wakeAll(waiters, attempt), [])).toBe('');
  });

  test('what serving a waiter wakes does not serve it twice', () => {
    const waiters = parked(a1, a2, b);
    const names: string[] = [];
    const attempt = ({ name }: Named): boolean => {
      names.push(name);
      wakeAll(waiters, attempt);
      return true;
    };
    wakeByFields(waiters, [0], attempt);
    expect(names.join(' ')).toBe('a1 b a2');
  });

  test('when the head gives up, the one behind it is tried', () => {
    const waiters = parked(a1, a2);
    removeClaimWaiter(waiters, a1);
    removeClaimWaiter(waiters, a1);
    expect(tried((attempt) => wakeLine(waiters, a1, attempt), ['a2'])).toBe('a2');
    expect(tried((attempt) => wakeLine(waiters, a1, attempt), [])).toBe('');
  });

  // The leased sibling that they wait for may be gone.
  test('a delete tries those who take what survives of groups', () => {
    const survivors: Named = { ...g, name: 's', command: { ...g.command, group: { survivorsMin: 1, waitMs: 0 } } };
    const waiters = parked(a1, b, g, survivors);
    const queue = machine.create({ partition: 1, groupSize: 2, bitmaps: createPlainBitmaps() });
    const event = { type: 'delete', partition: 1, requestId: '', ids: Float64Array.of(1) } as const;
    expect(tried((attempt) => wakeAfter(waiters, queue, event, attempt), [])).toBe('s');
    machine.applySeal(queue);
    expect(tried((attempt) => wakeAfter(waiters, queue, event, attempt), [])).toBe('a1 b g s');
  });

  test('a put among 10,000 waiters tries one line', () => {
    const waiters = createClaimWaiters<Named>();
    for (let i = 0; i < 10_000; i += 1) addClaimWaiter(waiters, waiter(`w${i}`, `t${i % 10}`, [i % 100]));
    expect(tried((attempt) => wakeByFields(waiters, [42], attempt), ['w42', 'w142'])).toBe('w42 w142 w242');
  });
});
