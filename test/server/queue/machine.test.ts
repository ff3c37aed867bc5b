/**
 * What the queue does, one case a line: steps, each with its answer behind `=`. Claims are numbered from 1.
 *
 *   n 4                  the group size (before anything else; 1 without)
 *   put 0-3 ab [ack 1]   rows 0 to 3 get fields a and b, and claim 1 is acked with it
 *   del 0,2              deletes rows
 *   t/ab 2..4 [group] [auto]   task t claims at least 2 and at most 4 rows that have a and b, for 100 ms
 *       = 0 1@2          rows 0 and 1, row 1 for the second time
 *       = wait 1/2/3     ready, leased, incomplete
 *       = wait 1/2/3/4   the same with dead letters behind
 *   ack 1, release 1, undelivered 1, renew 1 60, at 100, seal, restart, row 0, newest ab
 *   stats t = 1/2/3/4    ready, leased, consumed, incomplete
 *   declare t2 u         tasks t, with 2 attempts at most, and u are declared
 *   requeue t 0-3        says how many were dead letters
 *   reset t              says how many rows it had taken
 *   skip t/a 0-3         says how many were unclaimed
 *   dead t 2             at most 2 dead letters with their attempts; "..." when there are more
 *   done                 rows that all declared tasks consumed
 *
 * "at" sets the clock and answers the claims that expire; "restart" replays the journal.
 */
import { loadCore } from '@transfer-queue/core/wasm';
import { describe, expect, test } from 'vitest';
import type { DeclaredTask } from '../../../server/journal/events.ts';
import { consumedIds } from '../../../server/queue/consumed.ts';
import { machine } from '../../../server/queue/machine.ts';
import { createBitmaps } from '../../../server/queue/wasm_bitmaps.ts';
import { Harness } from './harness.ts';

const bitmaps = createBitmaps(loadCore());

const cases = {
  fifo: `
    put 0-3 a; t/a 2 = 0 1; t/a 2 = 2 3; t/a 1 = wait 0/4/0
    put 5 a; put 3 a; put 4 a; t/a 3 = 5 3 4
    t/a 1 = wait 0/0/0; put 7 a; t/a 1 = 7
    put 0-4 a; t/a 4 = 0 1 2 3; t/a 4 = wait 1/4/0; t/a 1..4 = 4
    put 0-2 a; t/a 1..8 = 0 1 2; put 3-12 a; t/a 1..8 = 3 4 5 6 7 8 9 10
    put 0-2 a; t/a 2 = 0 1; u/a 3 = 0 1 2; ack 1 = ok; u/a 1 = wait 0/3/0; t/a 1 = 2
    put 0-99 a; t/a 100 = 0-99
    put 9007199254740990 a; put 0 a; t/a 2 = 9007199254740990 0
  `,
  'fields at different times': `
    put 0-3 a; put 2 b; t/ab 1 = 2; t/ab 1 = wait 0/1/3
    put 0-3 a; put 3 b; put 0 b; t/ab 2 = 0 3; t/a 2 = 1 2; t/ab 1 = wait 0/4/0
    put 0 a; t/b 1 = wait 0/0/1; put 0 b; t/b 1 = 0; put 0 a; t/b 1 = wait 0/1/0
    put 0 a; t/ 1 = 0
    put 0 abcdefgh; t/abcdefgh 1 = 0; stats t = 0/1/0/0
  `,
  'groups: all siblings or none': `
    n 4; put 0-2 a; t/a 4 group = wait 0/0/3; put 3 a; t/a 4 group = 0 1 2 3
    n 4; put 0-3 a; put 0-2 b; t/ab 4 group = wait 0/0/4; put 3 b; t/ab 4 group = 0 1 2 3
    n 4; put 4 a; put 0-3 a; put 7 a; put 5,6 a; t/a 8 group = 4 5 6 7 0 1 2 3
    n 4; put 0-11 a; t/a 11 group = 0 1 2 3 4 5 6 7; t/a 4..7 group = 8 9 10 11
    n 4; put 0-7 a; t/a 1..4 group = 0 1 2 3; t/a 1..4 group = 4 5 6 7
    n 4; put 0-3 a; t/a 3 group = group_too_large; t/a 3 = 0 1 2; t/a 4 group = wait 0/3/1
    n 4; put 0-3 a; t/a 4 group = 0-3; release 1 = ok; t/a 4 group = 0@2 1@2 2@2 3@2
    n 3; put 0-8 a; put 3-5 b; t/ab 3 group = 3 4 5; put 6-8 b; t/ab 6 group = wait 3/3/3; t/ab 3..6 group = 6 7 8
    n 5; put 10-14 a; t/a 5..9 group = 10 11 12 13 14
    put 0-2 a; t/a 2 group = 0 1
  `,
  'leases, attempts and late acks': `
    put 0-1 a; t/a 2 = 0 1; at 99 = ; at 100 = 1; t/a 2 = 0@2 1@2; at 200 = 2; t/a 2 = 0@3 1@3
    put 0-1 a; t/a 2 = 0 1; ack 1 = ok; at 500 = ; t/a 1 = wait 0/0/0; ack 1 = already; release 1 = claim_stale
    put 0-1 a; t/a 2 = 0 1; release 1 = ok; release 1 = already; ack 1 = claim_stale; t/a 1 = 0@2
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; ack 1 = ok; t/a 1 = wait 0/0/0; ack 1 = already
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; t/a 1 = 0@2; ack 1 = claim_stale; t/a 1 = 1@2; ack 2 = ok; ack 3 = ok
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; release 1 = ok; ack 1 = claim_stale; t/a 2 = 0@2 1@2
    put 0-1 a; t/a 2 = 0 1; at 50 = ; renew 1 100 = 100; at 149 = ; at 150 = 1; renew 1 100 = claim_stale
    put 0-1 a; t/a 2 = 0 1; renew 1 1000 = 100; renew 1 20 = 20; at 20 = 1
    put 0-2 a; t/a 1 = 0; at 10 = ; t/a 1 = 1; at 20 = ; t/a 1 = 2; renew 1 100 = 100; at 200 = 2 1 3
    put 0 a; t/a 1 = 0; at 100 = 1; u/a 1 = 0; ack 1 = ok; ack 2 = ok; stats t = 0/0/1/0; stats u = 0/0/1/0
    put 0 a; t/a 1 auto = 0; t/a 1 = wait 0/0/0; at 500 = ; t/a 1 = wait 0/0/0; ack 1 = already
    ack 1 = claim_unknown; release 1 = claim_unknown; renew 1 5 = claim_unknown
    put 0-3 a; t/a 2 = 0 1; put 4 b ack 1 = ok; put 5 b ack 1 = already; at 500 = ; stats t = 2/0/2/1
    put 0-3 a; t/a 2 = 0 1; at 100 = 1; t/a 2 = 0@2 1@2; put 4 b ack 1 = claim_stale; t/b 1 = wait 0/2/2
  `,
  restarts: `
    put 0-3 a; t/a 2 = 0 1; at 60 = ; restart; at 159 = ; t/a 2 = 2 3; at 160 = 1; t/a 2 = 0@2 1@2
    put 0-3 a; t/a 2 = 0 1; ack 1 = ok; restart; ack 1 = already; t/a 4 = wait 2/0/0; t/a 2 = 2 3
    put 0-3 a; t/a 2 = 0 1; at 100 = 1; restart; at 500 = ; ack 1 = ok; t/a 1..4 = 2 3
    put 0-3 a; t/a 2 = 0 1; release 1 = ok; restart; t/a 2 = 0@2 1@2; ack 1 = claim_stale
    n 2; put 1 a; put 0 b; restart; put 0 a; t/a 2 group = 0 1; restart; t/a 2 group = wait 0/2/0
  `,
  'seal and the last rows': `
    put 0-4 a; seal; t/a 4 = 0 1 2 3; t/a 4 = wait 1/4/0; ack 1 = ok; t/a 4 = 4; ack 2 = ok; t/a 4 = drained
    put 0-4 a; t/a 4 = 0 1 2 3; seal; release 1 = ok; t/a 8 = 0@2 1@2 2@2 3@2 4
    put 0-1 a; put 0 b; seal; t/ab 2 = wait 1/0/1; put 1 b = ok; t/ab 4 = 0 1
    put 0-1 a; seal; put 2 a = partition_sealed; put 1-2 a = partition_sealed; put 0 b = ok; t/b 1 = 0
    seal; t/a 1 = drained; t/a 4 group = drained
    put 0 a; seal; t/a 1 = 0; ack 1 = ok; t/a 1 = drained; u/a 1 = 0; del 0; u/a 1 = drained
    n 4; put 0-5 a; seal; t/a 4 group = 0-3; ack 1 = ok; t/a 4 group = wait 0/0/2; del 4,5; t/a 4 group = drained
    n 4; put 0-11 a; seal; t/a 8 group = 0-7; t/a 8 group = wait 4/8/0; ack 1 = ok; t/a 8 group = 8-11
    put 0 a; t/a 1 = 0; ack 1 = ok; seal; del 0; put 0 a = partition_sealed
  `,
  'deleted rows': `
    put 0-3 a; del 1; t/a 1..4 = 0 2 3; del 9
    put 0-3 a; t/a 3 = 0 1 2; del 1; stats t = 1/2/0/0; ack 1 = ok; stats t = 1/0/2/0
    put 0-3 a; t/a 2 = 0 1; del 0,1; ack 1 = ok; t/a 1..4 = 2 3
    put 0-1 a; t/a 2 = 0 1; del 0; put 0 a; ack 1 = claim_stale; renew 1 100 = claim_stale; t/a 1 = 0
    put 0-1 a; t/a 2 = 0 1; del 0; put 0 a; t/a 1 = 0; t/a 1 = wait 0/2/0; at 100 = 1 2; t/a 2 = 1@2 0@2
    put 0-1 a; t/a 2 = 0 1; del 0; put 0 a; release 1 = ok; t/a 2 = 1@2 0
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; del 0; put 0 a; ack 1 = claim_stale; t/a 2 = 1@2 0
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; del 0; ack 1 = ok; put 0 a; t/a 1..2 = 0
    put 0-1 a; t/a 2 = 0 1; ack 1 = ok; del 0; put 0 a; ack 1 = already; t/a 1..2 = 0
    put 0 a; t/a 1 = 0; release 1 = ok; del 0; put 0 a; t/a 1 = 0
    put 0 ab; del 0; put 0 a; t/ab 1 = wait 0/0/1; row 0 = a; stats t = none
    n 2; put 0-3 a; t/a 2 group = 0 1; ack 1 = ok; del 1; put 1 a; t/a 2 group = 2 3; t/a 1 = 1; stats t = 0/3/1/0
    n 2; put 0-3 a; del 0,1; put 0,1 a; t/a 4 group = 2 3 0 1
    put 0 a; t/a 1 = 0; u/a 1 = 0; del 0; put 0 a; ack 1 = claim_stale; ack 2 = claim_stale; t/a 1 = 0; ack 3 = ok
    put 0 a; del 0; put 0 b; del 0; put 0 a; t/a 1 = 0; stats t = 0/1/0/0
  `,
  'dead letters': `
    declare t2; put 0-1 a; t/a 2 = 0 1; at 100 = 1; dead t = ; t/a 2 = 0@2 1@2; at 200 = 2; dead t = 0@2 1@2
    declare t1; put 0-2 a; t/a 2 = 0 1; release 1 = ok; t/a 2 = wait 1/0/0/2; stats t = 1/0/0/0; row 0 = a t:dead
    declare t1; put 0-2 a; u/a 2 = 0 1; release 1 = ok; dead u = ; u/a 2 = 0@2 1@2; dead t =
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; row 0 = a t:dead#1; ack 1 = ok; dead t = ; stats t = 0/0/2/0
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; release 1 = ok; ack 1 = claim_stale; dead t = 0@1 1@1
    declare t2; put 0-1 a; t/a 1 = 0; release 1 = ok; t/a 2 = 0@2 1; at 100 = 2; t/a 1..2 = 1@2; ack 2 = claim_stale
    declare t2; put 0-2 a; t/a 1 = 0; release 1 = ok; t/a 2 = 0@2 1; at 100 = 2; ack 2 = ok; stats t = 1/0/2/0
    declare t1; put 0-1 a; t/a 2 = 0 1; undelivered 1 = ok; undelivered 1 = already; t/a 2 = 0 1; ack 2 = ok; dead t =
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; undelivered 1 = ok; dead t = 0@1 1@1
    declare t3; put 0 a; t/a 1 = 0; release 1 = ok; declare t1; t/a 1 = 0@2; release 2 = ok; declare t9; dead t = 0@2
    declare t1; put 0-4 a; t/a 5 = 0-4; release 1 = ok; dead t 2 = 0@1 1@1 ...; dead t 5 = 0@1 1@1 2@1 3@1 4@1
    declare t1; put 0-1 a; t/a 1 = 0; release 1 = ok; del 0; dead t = ; stats t = 1/0/0/0; put 0 a; t/a 2 = 1 0
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; del 0; dead t = 1@1; ack 1 = ok; put 0 a; t/a 1 = 0; dead t =
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; del 0; put 0 a; ack 1 = claim_stale; dead t = 1@1; t/a 1 = 0
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; restart; dead t = 0@1 1@1; ack 1 = ok; restart; dead t =
    n 2; declare t1; put 0-3 a; t/a 1 = 0; release 1 = ok; t/a 4 group = wait 2/0/1/1; t/a 2 group = 2 3; dead t = 0@1
  `,
  'dead letters that are queued anew': `
    declare t2; put 0-1 a; t/a 1 = 0; release 1 = ok; t/a 1 = 0@2; release 2 = ok; requeue t 0-9 = 1; t/a 2 = 0 1
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; requeue t 0 = 1; requeue t 0 = 0; ack 1 = ok; t/a 1 = wait 0/0/0
    declare t1; put 0-1 a; t/a 2 = 0 1; at 100 = 1; requeue t 0 = 1; t/a 1 = 0; ack 1 = claim_stale; dead t = 1@1
    declare t1; put 0 a; t/a 1 = 0; release 1 = ok; requeue t 0 = 1; t/a 1 = 0; release 2 = ok; dead t = 0@1
    declare t1; put 0 a; t/a 1 = 0; release 1 = ok; requeue u 0 = 0; del 0; requeue t 0 = 0
    declare t1; put 0-1 a; seal; t/a 2 = 0 1; release 1 = ok; t/a 1 = drained; requeue t 0 = 1; t/a 2 = 0
  `,
  'a task that begins anew': `
    put 0-2 a; t/a 2 = 0 1; reset t = 2; ack 1 = claim_stale; renew 1 9 = claim_stale; t/a 3 = 0 1 2; stats t = 0/3/0/0
    put 0-2 a; t/a 2 = 0 1; ack 1 = ok; reset t = 2; ack 1 = already; t/a 3 = 0 1 2; ack 2 = ok; stats t = 0/0/3/0
    put 0-2 a; t/a 2 = 0 1; at 100 = 1; t/a 1 = 0@2; reset t = 1; ack 2 = claim_stale; at 500 = ; t/a 3 = 0 1 2
    put 0-2 a; t/a 2 = 0 1; at 100 = 1; reset t = 0; ack 1 = claim_stale; t/a 3 = 0 1 2
    put 0-1 a; t/a 2 = 0 1; u/a 2 = 0 1; reset t = 2; ack 2 = ok; stats u = 0/0/2/0; reset v = 0; stats v = none
    declare t1; put 0-2 a; t/a 2 = 0 1; release 1 = ok; skip t/a 2 = 1; reset t = 3; dead t = ; t/a 3 = 0 1 2
    put 0-1 a; seal; t/a 2 = 0 1; ack 1 = ok; t/a 1 = drained; reset t = 2; t/a 1 = 0
    put 0-1 a; t/a 2 = 0 1; del 0; reset t = 1; put 0 a; ack 1 = claim_stale; restart; t/a 2 = 1 0
  `,
  'rows that a task passes': `
    put 0-3 a; skip t/a 1,2,9 = 2; t/a 1..4 = 0 3; stats t = 0/2/2/0; row 1 = a t:consumed; skip t/a 0-3 = 0
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; skip t/a 0 = 1; ack 1 = claim_stale; t/a 1..2 = 1@2
    put 0-1 a; seal; skip t/a 0,1 = 2; t/a 1 = drained; del 0,1; stats t = 0/0/0/0
    declare t1; put 0-1 a; t/a 1 = 0; release 1 = ok; skip t/a 0,1 = 1; dead t = 0@1; t/a 1 = wait 0/0/0/1
    n 2; put 0-3 a; skip t/a 0 = 1; t/a 2 group = 2 3; restart; t/a 1 = 1
  `,
  'rows that all declared tasks consumed': `
    put 0-2 a; t/a 2 = 0 1; ack 1 = ok; done =
    declare t u; put 0-2 a; t/a 2 = 0 1; ack 1 = ok; done = ; u/a 3 = 0-2; done = ; ack 2 = ok; done = 0 1
    declare t; put 0-3 a; t/a 1 = 0; t/a 2 = 1 2; ack 2 = ok; done = 1 2; restart; done = 1 2; ack 1 = ok; done = 0 1 2
    declare t1; put 0-2 a; t/a 2 = 0 1; at 100 = 1; done = ; skip t/a 2 = 1; done = 2; ack 1 = ok; done = 0 1 2
    declare t; put 0-2 a; t/a 3 = 0-2; ack 1 = ok; declare t u; done = ; reset t = 3; skip u/a 0-2 = 3; done =
    declare t; stats t = 0/0/0/0; put 0 a; u/a 1 = 0; stats t = 1/0/0/0; stats u = 0/1/0/0
  `,
  'what people see': `
    put 0-5 a; put 1 b; newest a = 5; newest ab = 1; newest c = none; del 5; newest a = 4
    put 0-1 ab; t/a 1 = 0; row 0 = ab t:leased#1; row 1 = ab t:unclaimed; row 2 = none
    put 0-1 a; t/a 2 = 0 1; at 100 = 1; row 0 = a t:unclaimed#1; ack 1 = ok; row 0 = a t:consumed
    put 0-5 a; put 0-2 b; t/ab 2 = 0 1; stats t = 1/2/0/3; ack 1 = ok; stats t = 1/0/2/3
  `,
};

describe.each(Object.entries(cases))('%s', (_, lines) => {
  const steps = lines
    .trim()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  test.each(steps)('%s', (line) => {
    const [actual, expected] = run(line);
    expect(actual).toEqual(expected);
  });
});

/** The answers of the steps, and the ones that stand in the line. */
function run(line: string): [actual: string[], expected: string[]] {
  const steps = line
    .split(';')
    .map((step) => step.trim())
    .filter((step) => step !== '');
  const groupSize = steps[0].startsWith('n ') ? Number(steps.shift()!.slice(2)) : 1;
  const harness = new Harness({ machine, groupSize, bitmaps });
  const actual: string[] = [];
  const expected: string[] = [];
  for (const step of steps) {
    const [command, answer] = step.split('=').map((part) => part.trim());
    const given = perform(harness, command);
    harness.commit();
    if (answer === undefined) continue;
    actual.push(`${command} = ${given}`);
    expected.push(`${command} = ${answer.includes('-') ? idsOf(answer.replaceAll(' ', ',')).join(' ') : answer}`);
  }
  return [actual, expected];
}

function perform(harness: Harness, command: string): string {
  const [verb, ...rest] = command.split(' ');
  switch (verb) {
    case 'put':
      return harness.put(idsOf(rest[0]), fieldsOf(rest[1]), rest[2] === 'ack' ? Number(rest[3]) : 0);
    case 'del':
      harness.remove(idsOf(rest[0]));
      return '';
    case 'ack':
      return harness.ack(Number(rest[0]));
    case 'release':
      return harness.release(Number(rest[0]));
    case 'undelivered':
      return harness.release(Number(rest[0]), 'undelivered');
    case 'declare':
      harness.declare({ tasks: rest.map(taskOf) });
      return '';
    case 'requeue':
      return String(harness.requeue(rest[0], idsOf(rest[1])));
    case 'reset':
      return String(harness.reset(rest[0]));
    case 'skip': {
      const [task, fields] = rest[0].split('/');
      return String(harness.skip(task, fieldsOf(fields), idsOf(rest[1])));
    }
    case 'dead':
      return deadText(harness, rest[0], Number(rest[1] ?? 100));
    case 'done':
      return harness.queue.slots.pages.map((page) => consumedIds(harness.queue, page, 100).join(' ')).join(' ');
    case 'renew':
      return String(harness.renew(Number(rest[0]), Number(rest[1])));
    case 'at':
      return harness.advance(Number(rest[0]) - harness.now).join(' ');
    case 'seal':
      harness.seal();
      return '';
    case 'restart':
      harness.crash(1);
      return '';
    case 'stats':
      return statsText(harness, rest[0]);
    case 'row':
      return rowText(harness, Number(rest[0]));
    case 'newest':
      return String(machine.newestRow(harness.queue, fieldsOf(rest[0])) ?? 'none');
    default:
      return claim(harness, verb, rest);
  }
}

function claim(harness: Harness, who: string, [range, ...flags]: string[]): string {
  const [task, fields] = who.split('/');
  const [low, high = low] = range.split('..').map(Number);
  const answer = harness.claim({
    task,
    fields: fieldsOf(fields),
    rowsMin: low,
    rowsMax: high,
    sampler: flags.includes('group') ? 'group' : 'fifo',
    autoAck: flags.includes('auto'),
    leaseMs: 100,
    requestId: '',
  });
  if (answer.kind === 'refuse') return answer.code;
  if (answer.kind === 'drained') return 'drained';
  if (answer.kind === 'wait') {
    const { ready, leased, incomplete, dead } = answer.counts;
    return `wait ${[ready, leased, incomplete, ...(dead === undefined ? [] : [dead])].join('/')}`;
  }
  const { ids, attempts } = answer.event;
  return Array.from(ids, (id, i) => (attempts[i] === 1 ? `${id}` : `${id}@${attempts[i]}`)).join(' ');
}

/** "t2": task t with 2 attempts. */
function taskOf(text: string): DeclaredTask {
  return text.length === 1 ? { name: text } : { name: text[0], maxAttempts: Number(text.slice(1)) };
}

function deadText({ queue }: Harness, name: string, max: number): string {
  const task = queue.tasks.get(name);
  if (task === undefined) return '';
  const { ids, attempts, next } = machine.deadLetters(queue, task, 0, max);
  return [...ids.map((id, i) => `${id}@${attempts[i]}`), ...(next === null ? [] : ['...'])].join(' ');
}

function statsText({ queue }: Harness, name: string): string {
  const task = machine.stats(queue).tasks.find((each) => each.task === name);
  return task === undefined ? 'none' : `${task.ready}/${task.leased}/${task.consumed}/${task.incomplete}`;
}

function rowText({ queue }: Harness, id: number): string {
  const row = machine.rowStatus(queue, id);
  if (row === undefined) return 'none';
  const fields = row.fields.map((field) => String.fromCharCode(97 + field)).join('');
  const tasks = row.tasks.map(({ task, state, claim }) => ` ${task}:${state}${claim === undefined ? '' : `#${claim}`}`);
  return `${fields}${tasks.join('')}`;
}

function idsOf(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

function fieldsOf(text: string): number[] {
  return Array.from(text, (letter) => letter.charCodeAt(0) - 97);
}
