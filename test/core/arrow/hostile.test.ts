/** Schema messages made by hand, to say what no library would write. */
import { describe, expect, it } from 'vitest';
import { EOS } from '../../../core/arrow/index.ts';
import { limits } from '../../../core/protocol.ts';
import { emptyBatch, joined, refusalOf, walked } from './fixtures.ts';

/** A number (in four bytes, which holds smaller ones too), the label of what is pointed at, or nothing. */
type Slot = number | string | null;

/** Lays out tables, vectors and strings in the order of the calls; labels are resolved at the end. */
class Assembler {
  #bytes = Buffer.alloc(8 << 20);
  #size = 4;
  #labels = new Map<string, number>();
  #patches: { label: string; distance: number; bytes: readonly number[] }[] = [];
  #references: { at: number; label: string }[] = [{ at: 0, label: 'root' }];

  /** The vtable stands right before the table. */
  table(label: string, slots: readonly Slot[]): this {
    this.#size += this.#size % 4 === (2 * slots.length) % 4 ? 0 : 2;
    const vtable = this.#size;
    const at = vtable + 4 + 2 * slots.length;
    this.#bytes.writeUInt16LE(4 + 2 * slots.length, vtable);
    this.#bytes.writeUInt16LE(4 + 4 * slots.length, vtable + 2);
    this.#bytes.writeInt32LE(at - vtable, at);
    slots.forEach((slot, i) => {
      if (slot === null) return;
      this.#bytes.writeUInt16LE(4 + 4 * i, vtable + 4 + 2 * i);
      this.#slot(at + 4 + 4 * i, slot);
    });
    return this.#place(label, at, at + 4 + 4 * slots.length);
  }

  vector(label: string, elements: readonly Slot[]): this {
    const at = this.#size;
    this.#bytes.writeUInt32LE(elements.length, at);
    elements.forEach((element, i) => this.#slot(at + 4 + 4 * i, element));
    return this.#place(label, at, at + 4 + 4 * elements.length);
  }

  text(label: string, text: string): this {
    const at = this.#size;
    const size = this.#bytes.write(text, at + 4, 'latin1');
    this.#bytes.writeUInt32LE(size, at);
    return this.#place(label, at, at + 4 + size + 1);
  }

  #slot(at: number, slot: Slot): void {
    if (typeof slot === 'string') this.#references.push({ at, label: slot });
    else if (slot !== null) this.#bytes.writeUInt32LE(slot, at);
  }

  #place(label: string, at: number, end: number): this {
    this.#labels.set(label, at);
    this.#size = Math.ceil(end / 4) * 4;
    return this;
  }

  /** Changes the bytes at a distance from a label, after all is laid out. */
  patch(label: string, distance: number, bytes: readonly number[]): this {
    this.#patches.push({ label, distance, bytes });
    return this;
  }

  /** The message, then one batch of 0 rows of index_id, then the end. */
  stream(): Uint8Array<ArrayBuffer> {
    for (const { at, label } of this.#references) this.#bytes.writeUInt32LE(this.#labels.get(label)! - at, at);
    for (const { label, distance, bytes } of this.#patches) this.#bytes.set(bytes, this.#labels.get(label)! + distance);
    const size = Math.ceil(this.#size / 8) * 8;
    const head = new Uint8Array(new Int32Array([-1, size]).buffer);
    return joined([head, this.#bytes.subarray(0, size), emptyBatch(1, 2), EOS]);
  }
}

const fieldOf = (name: Slot, typeId: number, rest: { type: Slot; children?: Slot; metadata?: Slot }): Slot[] => [
  name,
  1,
  typeId,
  rest.type,
  null,
  rest.children ?? null,
  rest.metadata ?? null,
];

/** A message whose schema has index_id and whatever else `fields` and `metadata` name. */
function schema(fields: readonly string[] = [], metadata: Slot = null): Assembler {
  return new Assembler()
    .table('root', [4, 1, 'schema'])
    .table('schema', [null, 'fields', metadata])
    .vector('fields', ['index', ...fields])
    .table('index', fieldOf('index name', 2, { type: 'int64' }))
    .text('index name', 'index_id')
    .table('int64', [64, 1]);
}

describe('schemas made by hand', () => {
  it('are accepted where they are right', () => {
    const pairs = schema([], 'pairs').vector('pairs', ['pair']).table('pair', ['k', 'v']).text('k', 'a').text('v', 'b');
    expect(walked(pairs.stream()).metadata).toEqual(new Map([['a', 'b']]));
  });

  it('are refused when they point at one large string again and again', () => {
    const pairs = schema([], 'pairs').vector('pairs', new Array<Slot>(20_000).fill('pair'));
    pairs.table('pair', ['k', 'v']).text('k', 'a').text('v', 'v'.repeat(500_000));
    expect(refusalOf(pairs.stream())).toMatchObject({
      code: 'arrow_malformed',
      message: expect.stringMatching(/too often/),
    });
  });

  const nested = (levels: number, width: number): Assembler => {
    const all = schema(['level 1']);
    for (let level = 1; level < levels; level++) {
      all.table(`level ${level}`, fieldOf('name', 13, { type: 'empty', children: `children ${level}` }));
      all.vector(`children ${level}`, new Array<Slot>(width).fill(`level ${level + 1}`));
    }
    return all
      .table(`level ${levels}`, fieldOf('name', 5, { type: 'empty' }))
      .text('name', 'x')
      .table('empty', []);
  };

  it('are refused when they nest the same fields again and again', () => {
    const refusal = refusalOf(nested(limits.nestingMax, 64).stream());
    expect(refusal.message).toMatch(/too often/);
  });

  it('are refused when they nest too deeply', () => {
    expect(refusalOf(nested(limits.nestingMax + 1, 1).stream()).code).toBe('nesting_too_deep');
    expect(refusalOf(nested(limits.nestingMax, 1).stream()).code).toBe('type_unsupported');
  });

  // Each of these pyarrow refuses, and an earlier walker took the first three.
  const wrong: Record<string, () => Assembler> = {
    'a field outside its table that nobody needs': () => schema().patch('index', -12, [0xff, 0x7f]),
    'a key without a value': () =>
      schema([], 'pairs').vector('pairs', ['pair']).table('pair', ['k', null]).text('k', 'a'),
    'a value without a key': () =>
      schema([], 'pairs').vector('pairs', ['pair']).table('pair', [null, 'k']).text('k', 'a'),
    'an offset of 0': () => schema().text('zero', '').patch('fields', 4, [0, 0, 0, 0]),
    'a vtable before the message': () => schema().patch('index', 0, [0, 0, 1, 0]),
    'a vtable after the message': () => schema().patch('index', 0, [0, 0, 0xff, 0xff]),
    'a vtable of odd size': () => schema().patch('index', -18, [17, 0]),
    'a vtable beyond the message': () => schema().patch('index', -18, [0xfe, 0xff]),
    'a table beyond the message': () => schema().patch('index', -16, [0xfc, 0xff]),
    'a vector beyond the message': () => schema().patch('fields', 0, [0, 0, 0, 1]),
    'a string beyond the message': () => schema().patch('index name', 0, [0, 0, 0, 1]),
    'a string without an end': () => schema().patch('index name', 0, [3, 0, 0, 0]),
    'a string that is not UTF-8': () =>
      schema([], 'pairs').vector('pairs', ['p']).table('p', ['k', 'k']).text('k', '\xff'),
    'a field without a type': () => schema().patch('index', -8, [0, 0]),
    'a type that does not exist': () => schema().patch('index', 12, [99]),
    'an integer of 63 bits': () => schema().patch('int64', 4, [63]),
    'a big-endian stream': () => schema().patch('schema', -6, [4, 0]).patch('schema', 4, [1]),
    'metadata version 4': () => schema().patch('root', 4, [3]),
    'a header of another kind': () => schema().patch('root', 8, [4]),
    'no header': () => schema().patch('root', -2, [0, 0]),
  };
  it.each(Object.keys(wrong))('are refused with %s', (what) => {
    const stream = wrong[what]().stream();
    expect(refusalOf(stream).code).toBe('arrow_malformed');
  });
});
