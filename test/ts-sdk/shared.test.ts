import { expect, it } from 'vitest';
import { Shared } from '../../ts-sdk/shared.ts';
import { rejection } from './support.ts';

/** What is asked for, answered by hand. */
function asked(): { shared: Shared<number>; answers: PromiseWithResolvers<number>[] } {
  const answers: PromiseWithResolvers<number>[] = [];
  const shared = new Shared<number>(() => {
    const answer = Promise.withResolvers<number>();
    answers.push(answer);
    return answer.promise;
  });
  return { shared, answers };
}

it('is asked for once, and again after a failure', async () => {
  const { shared, answers } = asked();
  const waiting = [shared.get(undefined), shared.get(undefined)].map(rejection);
  answers[0].reject(new Error('away'));
  for (const error of await Promise.all(waiting)) expect(error.message).toBe('away');
  const again = shared.get(undefined);
  answers[1].resolve(7);
  expect([await again, await shared.get(undefined), answers.length]).toEqual([7, 7, 2]);
});

it('is waited for until a signal aborts, which the others do not notice; what is there needs no wait', async () => {
  const { shared, answers } = asked();
  const controller = new AbortController();
  const cut = rejection(shared.get(controller.signal));
  const other = shared.get(new AbortController().signal);
  controller.abort(new Error('enough'));
  expect((await cut).message).toBe('enough');
  expect((await rejection(shared.get(controller.signal))).message).toBe('enough');
  answers[0].resolve(7);
  expect([await other, await shared.get(controller.signal)]).toEqual([7, 7]);
});

it('is asked for anew once it was forgotten, whatever becomes of what was asked for before', async () => {
  const { shared, answers } = asked();
  const before = shared.get(undefined);
  shared.forget();
  const after = shared.get(undefined);
  answers[0].reject(new Error('late'));
  answers[1].resolve(8);
  expect((await rejection(before)).message).toBe('late');
  expect([await after, await shared.get(undefined), answers.length]).toEqual([8, 8, 2]);
});
