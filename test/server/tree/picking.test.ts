/** Which compaction comes next: a table of trees as text, one line for each. */

import { describe, expect, test } from 'vitest';
import { levelsOf } from '../../../server/tree/levels.ts';
import type { Dropped, SstRecord } from '../../../server/tree/manifest.ts';
import { fillOfLevels, isBottom, pickCompaction, type Merging } from '../../../server/tree/picking.ts';

const sizes = { level0Size: 100, level0RunsMax: 4, fileSize: 40, pieceFilesMax: 8 };

const key = (letter: string) => Uint8Array.from(Buffer.from(letter));

/**
 * Files as `level[.run]:first-last*size`, numbered in order; `!` marks a trimmed one. Sizes are 40 without a number.
 */
function filesOf(text: string): SstRecord[] {
  return text
    .split(' ')
    .filter((word) => word !== '')
    .map((word, i) => {
      const [, level, run, first, last, size, trimmed] = /^(\d)(?:\.(\d+))?:(\w+)-(\w+?)(?:\*(\d+))?(!?)$/.exec(word)!;
      return {
        ...{ number: i + 1, level: Number(level), run: Number(run ?? 0), size: Number(size ?? 40), entries: 1 },
        ...{ first: key(first), last: key(last), trimmed: trimmed === '!', lsnMin: 1, lsnMax: 1 },
        ...{ cleanEdit: 1, sha256: '' },
      };
    });
}

function pick(text: string, { round = null as number | null, dropped = [] as Dropped[] } = {}): string {
  const picked = pickCompaction({ levels: levelsOf(filesOf(text)), round, dropped }, sizes);
  if (picked === null) return 'nothing';
  const numbers = (files: readonly SstRecord[]) => files.map(({ number }) => number).join();
  switch (picked.kind) {
    case 'drop':
      return `drop ${numbers(picked.files)}`;
    case 'move':
      return `move ${numbers(picked.files)} to ${picked.level}`;
    case 'merge': {
      const { start, end } = picked.range;
      const to = picked.run > 0 ? `${picked.level}.${picked.run}` : String(picked.level);
      const until = end === null ? '' : ` before ${Buffer.from(end).toString().replace('\0', '+')}`;
      return `merge ${numbers(picked.inputs)} to ${to} from ${Buffer.from(start).toString()}${until}`;
    }
  }
}

describe('what is due', () => {
  test.each([
    ['an empty tree', '', 'nothing'],
    ['level 0 with room', '0.1:a-z 0.2:a-z', 'nothing'],
    ['level 0 too large', '0.1:a-z 0.2:a-z 0.3:a-z', 'merge 3,2,1 to 1 from a'],
    ['level 0 too large, over a level 1', '0.1:b-y 0.2:c-z 0.3:d-x 1:a-c 1:d-e', 'merge 1,2,3,4,5 to 1 from a'],
    ['level 1 with room', '1:a-z*1000', 'nothing'],
    [
      'level 1 too large: its oldest file',
      '1:a-c*500 1:d-f*501 2:b-e*100 2:g-h*100',
      'merge 1,3 to 2 from a before e+',
    ],
    ['the oldest overlaps nothing', '1:a-c*500 1:d-f*501 2:d-e*100', 'move 1 to 2'],
    ['level 1 twice too large, level 0 just so', '0.1:a-z*101 1:a-c*2500 2:a-z', 'merge 2,3 to 2 from a before z+'],
    ['both just so: level 0 first', '0.1:a-z*110 1:a-c*1100 2:a-z', 'merge 1,2 to 1 from a'],
    ['the deepest level is never too large', '6:a-z*1000000000', 'nothing'],
  ])('%s', (_, tree, expected) => expect(pick(tree)).toBe(expected));
});

describe('level 0', () => {
  test.each([
    ['sorted runs move on', '0.1:a-c 0.2:d-f 0.3:g-k', 'move 1,2,3 to 1'],
    ['as far as they overlap nothing', '0.1:a-c 0.2:d-f 0.3:e-k', 'move 1 to 1'],
    ['in level 1 neither', '0.1:a-c 0.2:d-f 0.3:g-k 1:e-e', 'move 1 to 1'],
    ['crumbs are merged', '0.1:a-b*4 0.2:c-d*4 0.3:e-f*100', 'merge 1,2,3 to 1 from a'],
    ['one crumb alone moves', '0.1:a-b*4 0.2:d-f*100 1:c-z', 'merge 1,2,3 to 1 from a'],
    [
      'a piece of eight files of level 1',
      `0.1:a-z*200 ${'bcdefghijk'.replace(/./g, '1:$&-$& ')}`,
      'merge 1,2,3,4,5,6,7,8,9 to 1 from a before j',
    ],
    ['the next piece, though level 0 has room', '0.1:j-z*50! 1:a-b 1:j-k', 'merge 1,3 to 1 from j', 1],
    ['newer runs wait for the next round', '0.1:j-z*50! 0.2:a-z 1:j-k', 'merge 1,3 to 1 from j', 1],
    [
      'too many small runs become one',
      '0.1:a-z*30 0.2:a-z*4 0.3:a-z*2 0.4:a-z*1 0.5:a-z*1',
      'merge 5,4,3,2 to 0.5 from a before z+',
    ],
    [
      'as many as grow with it',
      '0.1:a-z*2 0.2:a-z*2 0.3:a-z*2 0.4:a-z*2 0.5:a-z*2',
      'merge 5,4,3,2,1 to 0.5 from a before z+',
    ],
    [
      'unless they are worth a pass over level 1',
      '0.1:a-z*20 0.2:a-z*20 0.3:a-z*20 0.4:a-z*1 0.5:a-z*1',
      'merge 5,4,3,2,1 to 1 from a',
    ],
  ])('%s', (_, tree, expected, round: number | null = null) => {
    const sorted = (text: string) =>
      text.replace(/merge ([\d,]+)/, (__, list: string) => `merge ${list.split(',').sort().join()}`);
    expect(sorted(pick(tree, { round }))).toBe(sorted(expected));
  });
});

describe('dropped ranges', () => {
  const range = (start: string, end: string, edit = 2) => ({ start: key(start), end: key(end), edit });

  test('take files with them that lie inside, unless these are younger', () => {
    expect(pick('1:b-c 1:d-f', { dropped: [range('a', 'e')] })).toBe('drop 1');
    expect(pick('1:b-c 1:d-f', { dropped: [range('a', 'e', 1)] })).toBe('nothing');
  });

  test('that are many make the oldest file be rewritten where it is', () => {
    const many = Array.from({ length: 33 }, (_, i) =>
      range(`b${String(i * 2).padStart(2, '0')}`, `b${String(i * 2 + 1).padStart(2, '0')}`),
    );
    expect(pick('2:a-c 1:a-z', { dropped: many })).toBe('merge 1 to 2 from a before c+');
    expect(pick('2:a-c 1:a-z', { dropped: many.slice(1) })).toBe('nothing');
  });
});

test('fill is the share of the capacity; a round of level 0 is always due', () => {
  const levels = levelsOf(filesOf('0.1:a-z*50 1:a-z*500 2:a-z*1000'));
  expect(fillOfLevels({ levels, round: null, dropped: [] }, sizes)).toEqual([0.5, 0.5, 0.1]);
  expect(fillOfLevels({ levels, round: 1, dropped: [] }, sizes)[0]).toBeGreaterThan(1);
});

describe('the bottom', () => {
  const merge = (text: string, inputs: number[], [start, end]: [string, string]) => {
    const files = filesOf(text);
    const chosen = files.filter(({ number }) => inputs.includes(number));
    const merging: Merging = {
      kind: 'merge',
      inputs: chosen,
      range: { start: key(start), end: key(end) },
      level: 1,
      run: 0,
      round: null,
    };
    return isBottom(levelsOf(files), merging);
  };

  test.each([
    ['nothing is deeper', '0.1:a-c 1:a-f', [1, 2], true],
    ['a deeper file overlaps', '0.1:a-c 1:a-f 2:d-d', [1, 2], false],
    ['a deeper file lies aside', '0.1:a-c 1:a-f 2:g-h', [1, 2], true],
    ['an older run of level 0 overlaps', '0.1:a-c 0.2:a-c 0.3:a-c', [2, 3], false],
    ['only newer runs overlap', '0.1:a-c 0.2:a-c 0.3:a-c', [1, 2], true],
    ['the next level overlaps, and is no input', '0.1:a-c 1:b-b', [1], false],
  ] as const)('%s', (_, tree, inputs, expected) => {
    expect(merge(tree, [...inputs], ['a', 'g'])).toBe(expected);
  });
});
