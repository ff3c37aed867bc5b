/** Room for whole states: a bound together, and one at a time. */
import { expect, test } from 'vitest';
import { StateRoom } from '../../../server/engine/state_room.ts';

test('room is given up to the bound and given back once; a state alone has room whatever its size', () => {
  const states = new StateRoom({ stateSizeMax: 100 });
  const first = states.take(150);
  expect(() => states.take(51)).toThrow(expect.objectContaining({ code: 'memory_full' }) as Error);
  const second = states.take(50);
  first();
  first();
  expect(states.size).toBe(50);
  second();
  states.take(1_000);
  expect(() => states.take(1)).toThrow(expect.objectContaining({ code: 'memory_full' }) as Error);
});

test('work alone begins when all before it ended, well or not', async () => {
  const states = new StateRoom({ stateSizeMax: 1 });
  const log: string[] = [];
  const work = async (name: string): Promise<string> => {
    log.push(`${name} begins`);
    await new Promise((resolve) => setImmediate(resolve));
    log.push(`${name} ends`);
    if (name === 'b') throw new Error('b');
    return name;
  };
  const ends = await Promise.allSettled(['a', 'b', 'c'].map((name) => states.alone(() => work(name))));
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
});
