import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { npyHeader } from '../../../core/arrow/index.ts';
import { dtypes, elementsOf } from '../../../core/layout.ts';
import { everyDtype, hex, joined } from './fixtures.ts';

const python = fileURLToPath(new URL('../../../.venv/bin/python', import.meta.url));
const read = `
import io, json, sys
import numpy as np
answers = []
for line in sys.stdin:
    array = np.load(io.BytesIO(bytes.fromhex(line)), allow_pickle=False)
    answers.append([str(array.dtype), list(array.shape), array.tobytes().hex()])
print(json.dumps(answers))`;

describe('npy', () => {
  it('is what NumPy reads, for every dtype and number of dimensions', () => {
    const shapes = [[], [3], [2, 3], [0, 4], [1, 2, 1, 2], new Array<number>(16).fill(1), [2 ** 31 - 1, 0]];
    const cases = everyDtype.flatMap((dtype) => shapes.map((shape) => ({ dtype, shape })));
    const files = cases.map(({ dtype, shape }) => {
      const values = new Uint8Array(elementsOf(shape) * dtypes[dtype].size).fill(1);
      const header = npyHeader(dtype, shape);
      expect(header.length % 64).toBe(0);
      return hex(joined([header, values]));
    });
    const answers = JSON.parse(execFileSync(python, ['-c', read], { input: files.join('\n') }).toString()) as unknown[];
    expect(answers).toEqual(
      cases.map(({ dtype, shape }) => [
        dtype === 'bfloat16' ? 'uint16' : dtype,
        shape,
        '01'.repeat(elementsOf(shape) * dtypes[dtype].size),
      ]),
    );
  });
});
