/** What is known of ended claims is what a list of them would say, whatever was forgotten and saved in between. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EndedClaims, type ClaimEnd, type Ended } from '../../../server/queue/ended_claims.ts';

interface Known extends Ended<string> {
  readonly claim: number;
  isSaved: boolean;
}

const end = fc.record({
  gap: fc.constantFrom(1, 2, 1_000, 2 ** 33),
  how: fc.constantFrom<ClaimEnd>('acked', 'released', 'stale'),
  task: fc.constantFrom('a', 'b'),
  isSaved: fc.boolean(),
});
const step = fc.oneof(
  { weight: 6, arbitrary: end },
  { weight: 3, arbitrary: fc.constant('forget' as const) },
  { weight: 1, arbitrary: fc.record({ save: fc.nat(20) }) },
);

function check(ended: EndedClaims<string>, model: readonly Known[], forgotten: readonly number[]): void {
  const known = model.map(({ claim, how, task, order }) => [claim, { how, task, order }]);
  expect([...ended]).toEqual(known);
  expect(ended.size).toBe(model.length);
  for (const { claim, how, task, order } of model) expect(ended.get(claim)).toEqual({ how, task, order });
  for (const claim of forgotten) expect([ended.has(claim), ended.get(claim)]).toEqual([false, undefined]);
  const unsaved = model.filter(({ isSaved }) => !isSaved).map(({ claim }) => claim);
  expect([...ended.unsaved()]).toEqual(unsaved);
  expect(ended.unsavedCount).toBe(unsaved.length);
}

test('knows the latest ends, in their order, and which of them are saved', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
      const ended = new EndedClaims<string>();
      const model: Known[] = [];
      const forgotten: number[] = [];
      let claim = 0;
      for (const [order, one] of steps.entries()) {
        if (one === 'forget') {
          if (model.length === 0) continue;
          forgotten.push(ended.forgetOldest());
          expect(forgotten.at(-1)).toBe(model.shift()!.claim);
        } else if ('save' in one) {
          for (const number of ended.unsaved()) {
            if (number % 20 > one.save) break;
            ended.noteSaved(number);
            model.find((known) => known.claim === number)!.isSaved = true;
          }
        } else {
          claim += one.gap;
          ended.add(claim, { how: one.how, task: one.task, order }, { isSaved: one.isSaved });
          model.push({ ...one, claim, order });
        }
      }
      check(ended, model, forgotten);
    }),
  );
});
