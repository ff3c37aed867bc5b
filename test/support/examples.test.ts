import { expect, test } from 'vitest';
import { blocksIn, compared } from './examples.ts';

test.each([
  ['a.b; // [1, 2]', 'equal(a.b, [1, 2]);'],
  ['  a(); // { step: 12 }', '  equal(a(), { step: 12 });'],
  ['a; // BigInt64Array [2n]', 'equal(a, BigInt64Array.from([2n]));'],
  ['[a, b]; // [1, Int8Array [2]]', 'equal([a, b], [1, Int8Array.from([2])]);'],
  ['first === second; // true', 'equal(first === second, true);'],
  ['a.map((x) => x); // [0.5]', 'equal(a.map((x) => x), [0.5]);'],
  ["list({ where: 'a >= 1' }); // 0.5", "equal(list({ where: 'a >= 1' }), 0.5);"],
  ["if (a === 1) b; // 'c'", "equal(if (a === 1) b, 'c');"],
  ['const a = 1; // 1', 'const a = 1; // 1'],
  ['a; // a word', 'a; // a word'],
  ["a(); // 'rows', or 'drained'", "a(); // 'rows', or 'drained'"],
])('%s', (code, test) => {
  expect(compared(code)).toBe(test);
});

test('blocks are found with their lines', () => {
  const text = 'a\n```ts\n1;\n```\n```js\n2;\n```\n```ts\n3;\n4;\n```\n';
  expect(blocksIn(text, 'ts')).toEqual([
    { line: 3, code: '1;\n' },
    { line: 9, code: '3;\n4;\n' },
  ]);
});
