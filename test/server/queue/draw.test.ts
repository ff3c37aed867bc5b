/** What claims draw, as plain-text tables; draw_table.ts tells their words. */
import { describe, expect, test } from 'vitest';
import { casesIn, runLine } from './draw_table.ts';

const cases: Readonly<Record<string, string>> = {
  filters: `
    put 0-3 a; tag 1,3 {"s": "ok"}; t/a 1..4 where[s == "ok"] = 1 3; t/a 1 where[s == "ok"] = wait 0/2/0 filtered 2
    put 0-3 a; t/a 1 where[s == "ok"] = wait 0/0/0 filtered 4; tag 2 {"s": "ok"}; t/a 1 where[s == "ok"] = 2
    put 0-3 a; length 1 5 7 -; t/a 1..4 where[length > 3] = 1 2
    put 0-1 a; tag 0-1 {"x": 1}; tag 0 {"x": null}; t/a 1..4 where[x == 1] = 1
    put 0-1 a; tag 0-1 {"x": 1}; t/a 1 where[x == 1] = 0; del 1; put 1 a; t/a 1 where[x == 1] = wait 0/1/0 filtered 1
    put 0-299 a; tag 40,255,256,299 {"x": 1}; t/a 3 where[x == 1] = 40 255 256; restart; t/a 1 where[x == 1] = 299
    put 0-3 a; put 1,3 b; tag 0,3 {"x": 1}; t/ab 1..4 where[x == 1] = 3; t/ab 1 where[x == 1] = wait 0/1/2 filtered 1
    put 0-1 a; tag 0 {"x": 1}; seal; t/a 2 where[x == 1] = wait 1/0/0 filtered 1; tag 1 {"x": 1};
      t/a 8 where[x == 1] = 0 1 partial
  `,
  priority: `
    put 0-4 a; priority 1 3 - 3 -1; t/a 5 priority = 1 3 0 2 4
    put 0-2 a; priority 0 0 1; t/a 1 priority = 2; put 3 a; tag 3 {"priority": 9}; t/a 2 priority = 3 0
    put 0-2 a; weight 1 2 3; t/a 3 priority[weight] = 2 1 0
    put 0-2 a; t/a 1 priority[height] = number_unknown height
    put 0-2 a; priority 0 0 1; t/a 2 priority = 2 0; release 1; t/a 3 priority = 2@2 0@2 1
    put 0-2 a; priority - 1; tag 1,2 {"x": 1}; t/a 1..3 priority where[x == 1] = 1 2
    put 0-3 a; priority 1 2 3 4; length 9 4 4 4; t/a 4 priority tokens[8] = 3 2; t/a 4 priority tokens[8] = 1
  `,
  'weighted, by chance that is always the same': `
    put 0-5 a; weight 1 1 1 1 1 1; t/a 6 weighted seed[1] = 2 5 1 0 3 4
    put 0-5 a; weight 1 1 1 1 1 1; t/a 2 weighted seed[1] = 2 5; t/a 4 weighted seed[1] = 1 0 3 4
    put 0-5 a; length 7 7 7 7 7 7; t/a 6 weighted[length] seed[2] = 3 1 2 0 5 4
    put 0-2 a; t/a 2 weighted = 0 1
  `,
  'tokens: as many rows as fit, and nobody is overtaken': `
    put 0-3 a; length 4 4 4 4; t/a 8 tokens[10] = 0 1; t/a 8 tokens[10] = wait 2/2/0; t/a 2..8 tokens[10] = 2 3
    put 0-3 a; length 4 7 1 1; t/a 4 tokens[8] = 0; t/a 4 tokens[8] = 1 2; t/a 4 tokens[8] = wait 1/3/0
    put 0-3 a; length 4 4 1 1; t/a 4 tokens[8] = 0 1; t/a 2 tokens[8] = 2 3
    put 0-3 a; length 9 1 1 1; t/a 4 tokens[8] = row_over_budget 0 9 8; del 0; t/a 3 tokens[8] = 1 2 3
    put 0-1 a; length 1 -; t/a 2 tokens[8] = 0; t/a 2 tokens[8] = row_over_budget 1  8; length - 8; t/a 2 tokens[8] = 1
    put 0-2 a; length 3 3 3; seal; t/a 8 tokens[7] = 0 1; t/a 8 tokens[7] = wait 1/2/0; ack 1;
      t/a 8 tokens[7] = 2 partial
    n 2; put 0-7 a; length 1 2 3 4 1 1 1 1; t/a 8 group tokens[9] = 0 1; t/a 8 group tokens[10] = 2 3 4 5
    n 2; put 0-5 a; length 1 2 3 4 1 1; t/a 6 group tokens[20] = 0 1 2 3 4 5
    n 2; put 0-3 a; length 5 5 1 1; t/a 4 group tokens[9] = row_over_budget 0 10 9
  `,
  'a window of versions': `
    put 0-3 a; version 1 2 3 4; advance 4; t/a 1..4 fresh[1] = 2 3; t/a 1..4 fresh[1] = wait 0/2/0 stale 2
    put 0-3 a; version 1 2 3 4; t/a 1..4 since[2] = 1 2 3; t/a 1 since[1] = 0
    put 0-3 a; version 1 2 3 4; advance 9; t/a 1..4 since[2] fresh[6] = 2 3
    put 0-2 a; version 1 - 3; advance 3; t/a 1..3 fresh[1] = 2; t/a 1 fresh[1] = wait 0/1/1 stale 1; t/a 2 = 0 1
    put 0-3 a; version 5 5 5 5; advance 5; t/a 2 fresh[0] = 0 1; advance 6; t/a 1 fresh[0] = wait 0/2/0 stale 2;
      t/a 1 fresh[1] = 2
    put 0-3 a; version 1 2 3 4; advance 4; t/a 1..4 fresh[1] skip = 2 3; stats t = 2 leased, 2 consumed, 2 skipped
    put 0-1 a; version 1 1; advance 4; seal; t/a 1 fresh[1] = wait 0/0/0 stale 2; t/a 1 fresh[1] skip = drained;
      u/a 1 = 0
    put 0 a; version 1; advance 4; t/a 1 fresh[1] skip = wait 0/0/0 stale 0; put 1 a; tag 1 {"version": 4};
      t/a 1 fresh[1] = 1
    put 0-1 a; put 0 b; version 1 1; advance 4; t/ab 1 fresh[1] skip = wait 0/0/1 stale 0; put 1 b;
      t/ab 1 fresh[1] skip = wait 0/0/0 stale 0
    put 0-2 a; tag 0-2 {"x": 1}; version 1 4 4; tag 1 {"x": 2}; advance 4; t/a 1..3 fresh[0] where[x == 1] = 2
    put 0-2 a; version 1 4 4; tag 2 {"x": 1}; advance 4; t/a 2 fresh[0] where[x == 1] = wait 1/0/0 stale 0 filtered 2
    put 0-1 a; version 1 2; advance 9; t/a 1..2 window = 0 1
    n 2; put 0-5 a; version 1 4 4 4 4 4; advance 4; t/a 4 group fresh[1] = 2 3 4 5
    put 0-3 a; version 1 2 3 4; advance 4; restart; t/a 1..4 fresh[1] skip = 2 3; restart;
      stats t = 2 leased, 2 consumed, 2 skipped
  `,
  'groups by number': `
    n 3; put 0-6 a; of 7 9 7 7 9 - 9; t/a 3 group of = 0 2 3; t/a 3 group of = 1 4 6; t/a 3 group of = wait 0/6/1
    n 2; put 0-5 a; of 1 2 2 1 3 3; t/a 6 group of = 1 2 0 3 4 5
    n 2; put 0-3 a; put 0,1 b; of 1 2 1 2; t/ab 2 group of = wait 0/0/4; put 2 b; t/ab 2 group of = 0 2
    n 2; put 0-2 a; of 1 1 1; t/a 2 group of = 0 1; t/a 2 group of = wait 0/2/1; put 3 a; tag 3 {"of": 1};
      t/a 2 group of = 2 3
    n 2; put 0-3 a; of 1 2 1 2; tag 0,2 {"x": 1}; t/a 2 group of where[x == 1] = 0 2
    n 2; put 0-3 a; of 1 2 1 2; t/a 2 group of = 0 2; release 1; t/a 4 group of = 0@2 2@2 1 3
    n 2; put 0-3 a; of 1 2 1 2; restart; t/a 4 group of = 0 2 1 3
  `,
  'what survived of a group': `
    n 4; put 0-2 a; t/a 4 group survivors[3 50] = wait 0/0/3 due 50; at 49;
      t/a 4 group survivors[3 50] = wait 0/0/3 due 50
    n 4; put 0-2 a; at 50; t/a 4 group survivors[3 50] = 0 1 2
    n 4; put 0-1 a; at 50; t/a 4 group survivors[3 50] = wait 0/0/2; put 2 a;
      t/a 4 group survivors[3 50] = wait 0/0/3 due 100
    n 4; put 0-2 a; at 40; put 3 b; at 50; t/a 4 group survivors[3 50] = wait 0/0/4 due 90; at 90;
      t/a 4 group survivors[3 50] = 0 1 2
    n 4; put 0-6 a; at 50; t/a 8 group survivors[3 50] = 0 1 2 3 4 5 6
    n 4; put 0-2,4-7 a; at 50; t/a 4 group survivors[3 50] = 0 1 2; t/a 4 group survivors[3 50] = 4 5 6 7
    n 4; put 0-2 a; at 50; t/a 4 group survivors[3 50] = 0 1 2; put 3 a; at 150;
      t/a 4 group survivors[1 50] = 0@2 1@2 2@2 3
    n 4; put 0-2 a; at 50; t/a 4 group survivors[3 50] = 0 1 2; put 3 a; t/a 1..4 group survivors[1 0] = wait 0/3/1
    n 4; put 0-2 a; at 50; t/a 4 group survivors[3 50] = 0 1 2; ack 1; put 3 a;
      t/a 4 group survivors[1 0] = wait 0/0/0; stats t = 0 leased, 4 consumed, 1 skipped
    n 4; put 0-3 b; put 0-2 a; seal; at 50; t/a 4 group survivors[3 50] = 0 1 2;
      t/a 4 group survivors[3 50] = wait 0/3/1; ack 1; t/a 4 group survivors[3 50] = drained
    n 4; put 0-2 a; at 40; restart; at 89; t/a 4 group survivors[3 50] = wait 0/0/3 due 90; at 90;
      t/a 4 group survivors[3 50] = 0 1 2
    n 4; put 0-2,4-7 a; at 50; t/a 4 group = 4 5 6 7; t/a 4 group = wait 0/4/3
    n 3; put 0-4 a; of 1 1 2 2 2; at 50; t/a 6 group of survivors[2 50] = 0 1 2 3 4
    n 3; put 0-3 a; of 1 1 2 2; t/a 3 group of survivors[2 50] = wait 0/0/4 due 50; at 50;
      t/a 3 group of survivors[2 50] = 0 1
    n 3; put 0-1 a; of 1 1; at 50; t/a 3 group of survivors[2 50] = 0 1; put 9 a; tag 9 {"of": 1};
      t/a 3 group of survivors[1 0] = wait 0/2/1
    n 3; put 0-1 a; of 1 1; at 50; t/a 3 group of survivors[2 50] = 0 1; ack 1; put 9 a; tag 9 {"of": 1};
      t/a 3 group of survivors[1 0] = wait 0/0/0
  `,
  'rows by their ids': `
    put 0-5 a; t/a 1..3 ids[4,0,2] = 4 0 2; t/a 1..3 ids[2,3] = 3; t/a 1 ids[0,9] = wait 0/1/0
    put 0-3 a; put 2 b; t/ab 1..2 ids[1,2] = 2; t/ab 1 ids[1,2,3] = wait 0/1/2; t/ab 2..3 ids[1,2,3] = wait 0/1/2
    put 0-3 a; t/a 1..2 ids[1,2] = 1 2; release 1; t/a 1..3 ids[3,2,1] = 3 2@2 1@2
    put 0-3 a; tag 1 {"x": 1}; t/a 1..3 ids[0,1,2] where[x == 1] = 1
    put 0-3 a; t/a 2..3 ids[3,9,1] = 3 1
    put 0 a; seal; t/a 1 ids[0] = 0; ack 1; t/a 1 ids[0] = drained
  `,
  'modules choose': `
    put 0-4 a; length 3 9 1 9 2; t/a 1..2 longest = 1 3; t/a 1..9 longest = 0 4 2; t/a 1 longest = wait 0/5/0
    put 0-4 a; length 3 9 1 9 2; t/a 1..5 longest where[length < 4] = 0 4 2
    put 0-1 a; length 3 13; t/a 1..2 longest = sampler_failed
    put 0-1 a; length 3 14;
      t/a 1..2 longest = sampler_failed a choice of 2 places, at most 2 different ones below 2 wanted
  `,
  'batches that several askers share': `
    put 0-7 a; t/a 6 batch[0 0/2] = 0 1 2 | 3 4 5; t/a 6 batch[0 1/2] = known 2; t/a 6 batch[0 0/2] = known 1;
      t/a 2 batch[1 1/2] = 6 | 7
    put 0-4 a; t/a 5 batch[0 0/3] = 0 1 | 2 3 | 4; t/a 5 batch[0 2/3] = known 3
    put 0-1 a; t/a 1..8 batch[0 0/3] = 0 | 1; t/a 8 batch[0 2/3] = empty timed_out; restart;
      t/a 8 batch[0 2/3] = empty timed_out
    put 0-3 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; t/a 4 batch[0 0/4] = batch_conflict 2; restart;
      t/a 4 batch[0 1/2] = known 2
    put 0-3 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; ack 1; t/a 4 batch[0 0/2] = known 1; t/a 4 batch[0 1/2] = known 2
    put 0-3 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; at 100 = 1 2; t/a 4 batch[0 1/2] = 2@2 3@2;
      t/a 4 batch[0 1/2] = known 3; t/a 4 batch[0 0/2] = 0@2 1@2
    put 0-5 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; release 1; u/a 1 = 0; t/a 4 batch[0 0/2] = 0@2 1@2
    put 0-5 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; release 1; t/a 3 = 0@2 1@2 4; t/a 1..4 batch[0 0/2] = 5;
      t/a 4 batch[0 0/2] = known 4
    put 0-3 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; at 100; del 0; t/a 4 batch[0 0/2] = 1@2; del 2,3;
      t/a 4 batch[0 1/2] = wait 0/1/0
    put 0-7 a; length 9 1 1 1 1 1 1 9; t/a 8 batch[0 0/2 length] = 0 2 4 5 | 1 3 6 7
    n 2; put 0-7 a; length 9 1 1 1 1 1 1 9; t/a 8 group batch[0 0/2 length] = 0 1 4 5 | 2 3 6 7
    n 2; put 0-5 a; t/a 6 group batch[0 0/2] = 0 1 2 3 | 4 5
    n 4; put 0-6 a; t/a 8 group survivors[3 0] batch[0 0/2] = 0 1 2 3 | 4 5 6
    put 0-3 a; t/a 4 batch[0 0/2] = 0 1 | 2 3; reset t; t/a 2 batch[0 0/2] = 0 | 1
    put 0-3 a; seal; t/a 8 batch[0 0/2] = 0 1 | 2 3 partial; ack 1; ack 2; t/a 8 batch[1 0/2] = drained
    put 0-3 a; length 2 2 2 2; t/a 4 tokens[6] batch[0 0/2] = 0 1 | 2; priority 1 2 3 4;
      u/a 2 priority batch[0 0/2] = 3 | 2
  `,
};

describe.each(Object.entries(cases))('%s', (_, lines) => {
  test.each(casesIn(lines))('%s', (line) => {
    const [actual, expected] = runLine(line);
    expect(actual).toEqual(expected);
  });
});
