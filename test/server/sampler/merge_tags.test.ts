/** Merging of tags, one case a line: those of RFC 7396 (appendix A) where they concern objects, and ours. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Json, JsonObject } from '../../../server/sampler/json.ts';
import { mergeTags, NO_TAGS, TagError, tagLimits, type Tags } from '../../../server/sampler/merge_tags.ts';
import { casesOf, runs } from './table.ts';

/** tags | patch | tags then; `same` when nothing changed */
const merges = String.raw`
  {"a":"b"}                     | {"a":"c"}                     | {"a":"c"}
  {"a":"b"}                     | {"b":"c"}                     | {"a":"b","b":"c"}
  {"a":"b"}                     | {"a":null}                    | {}
  {"a":"b","b":"c"}             | {"a":null}                    | {"b":"c"}
  {"a":["b"]}                   | {"a":"c"}                     | {"a":"c"}
  {"a":"c"}                     | {"a":["b"]}                   | {"a":["b"]}
  {"a":{"b":"c"}}               | {"a":{"b":"d","c":null}}      | {"a":{"b":"d"}}
  {"a":[{"b":"c"}]}             | {"a":[1]}                     | {"a":[1]}
  {}                            | {"a":{"bb":{"ccc":null}}}     | {"a":{"bb":{}}}
  {"x":[1,2]}                   | {"x":{"a":"b","c":null}}      | {"x":{"a":"b"}}

  {"a":1}                       | {}                            | same
  {"a":1}                       | {"a":1}                       | same
  {"a":1}                       | {"b":null}                    | same
  {"a":[1,{"b":2,"c":3}]}       | {"a":[1,{"c":3,"b":2}]}       | same
  {"a":{"b":{"c":1}}}           | {"a":{"b":{"c":1,"d":null}}}  | same
  {"a":[{"b":1}]}               | {"a":[{"b":1,"c":2}]}         | {"a":[{"b":1,"c":2}]}
  {"a":[{"b":1}]}               | {"a":[{"c":1}]}               | {"a":[{"c":1}]}
  {"a":{}}                      | {"a":{}}                      | same
  {"a":1}                       | {"a":{}}                      | {"a":{}}
  {"a":{"b":1}}                 | {"a":[]}                      | {"a":[]}
  {"a":[1,2]}                   | {"a":[1]}                     | {"a":[1]}
  {"a":[1]}                     | {"a":[null]}                  | {"a":[null]}
  {"a":1}                       | {"a":[{"b":null}]}            | {"a":[{"b":null}]}
  {"a":1}                       | {"a":"1"}                     | {"a":"1"}
  {"a":0}                       | {"a":-0.0}                    | same
  {"a":1}                       | {"a":-0.0}                    | {"a":0}
  {"z":1,"a":2}                 | {"a":3,"m":4}                 | {"z":1,"a":3,"m":4}
  {}                            | {"constructor":1}             | {"constructor":1}
  {}                            | {"toString":null}             | same
  {"hasOwnProperty":1}          | {"hasOwnProperty":{"a":1}}    | {"hasOwnProperty":{"a":1}}
`;

const refused = String.raw`
  null                                       |            | tags are a JSON object
  [1]                                        |            | tags are a JSON object
  "a"                                        |            | tags are a JSON object
  {"a":1e999}                                | /a         | a number is too large for a double, or none
  {"a":{"b/c":["x",-1e999]}}                 | /a/b~1c/1  | a number is too large for a double, or none
  {"a~":{"b":"\ud800"}}                      | /a~0/b     | a string has half of a surrogate pair
  {"\udc00":1}                               |            | a key has half of a surrogate pair
  {"":1}                                     |            | a key is empty
  {"a":{"":null}}                            | /a         | a key is empty
  {"__proto__":{"x":1}}                      |            | no key may be __proto__
  {"a":[{"__proto__":null}]}                 | /a/0       | no key may be __proto__
`;

const parse = (text: string) => JSON.parse(text) as JsonObject;
const tagsOf = (text: string) => mergeTags(NO_TAGS, parse(text));

test.each(casesOf(merges))('%s with %s is %s', (before, patch, after) => {
  const tags = tagsOf(before);
  const merged = mergeTags(tags, parse(patch));
  if (after === 'same') expect(merged).toBe(tags);
  else expect(JSON.stringify(merged)).toBe(after);
  expect(JSON.stringify(tags)).toBe(before);
});

test.each(casesOf(refused, '|'))('%s is refused at "%s": %s', (patch, pointer, problem) => {
  const error = errorOf(NO_TAGS, JSON.parse(patch) as Json);
  expect(error).toMatchObject({ pointer, problem });
  expect((error as TagError).message).toBe(`tags${pointer === '' ? '' : ` at ${pointer}`}: ${problem}`);
});

test('there is no -0, which would be 0 after a restart', () => {
  expect(mergeTags(NO_TAGS, { a: -0, b: [-0] })).toEqual({ a: 0, b: [0] });
});

test('nulls that are there stay: a merge says nothing of other keys', () => {
  expect(mergeTags(Object.freeze({ e: null }), { a: 1 })).toEqual({ e: null, a: 1 });
});

test('what did not change is shared with the tags before', () => {
  const tags = tagsOf('{"a": {"b": [1]}, "c": {"d": 1}}');
  const merged = mergeTags(tags, parse('{"c": {"d": 2}}'));
  expect(merged.a).toBe(tags.a);
});

test('the patch stays the caller’s', () => {
  const patch = { list: [{ a: 1 }], object: { b: [2] } };
  const merged = mergeTags(NO_TAGS, patch);
  patch.list[0].a = 9;
  patch.object.b.push(9);
  expect(merged).toEqual({ list: [{ a: 1 }], object: { b: [2] } });
});

describe('bounds', () => {
  const { bytesMax, depthMax, keysMax, keyBytesMax } = tagLimits;
  const nested = (depth: number): Json => (depth === 0 ? 1 : { a: nested(depth - 1) });
  const keys = (count: number, from = 0): JsonObject => {
    return Object.fromEntries(Array.from({ length: count }, (_, at) => [`${from + at}`, 1]));
  };

  test('bytes of the merged text, as UTF-8', () => {
    const filled = mergeTags(NO_TAGS, { a: 'é'.repeat((bytesMax - 8) / 2) });
    expect(Buffer.byteLength(JSON.stringify(filled))).toBe(bytesMax);
    expect(errorOf(filled, { b: 1 })).toMatchObject({ problem: '4102 bytes as JSON text, at most 4096 are allowed' });
    expect(mergeTags(filled, { a: null, b: 1 })).toEqual({ b: 1 });
  });

  test.each(['x', '"', '\n', '\u0001', '\u007f', 'é', '☃', '😀'])(
    'bytes of a text of %j, to the last one',
    (letter) => {
      const size = (count: number): number => Buffer.byteLength(JSON.stringify({ a: letter.repeat(count) }));
      const most = Math.floor((bytesMax - size(0)) / (size(1) - size(0)));
      expect(() => mergeTags(NO_TAGS, { a: letter.repeat(most) })).not.toThrow();
      expect(errorOf(NO_TAGS, { a: letter.repeat(most + 1) })).toBeInstanceOf(TagError);
    },
  );

  test('bytes of numbers and lists', () => {
    const numbers = (count: number): JsonObject => ({ a: new Array<number>(count).fill(-1.234567890123457e-300) });
    const most = Math.floor((bytesMax - 7) / (JSON.stringify(numbers(2)).length - JSON.stringify(numbers(1)).length));
    expect(() => mergeTags(NO_TAGS, numbers(most))).not.toThrow();
    expect(errorOf(NO_TAGS, numbers(most + 1))).toBeInstanceOf(TagError);
  });

  test('depth', () => {
    expect(mergeTags(NO_TAGS, nested(depthMax))).toEqual(nested(depthMax));
    const error = errorOf(NO_TAGS, nested(depthMax + 1));
    expect(error).toMatchObject({ pointer: '/a'.repeat(depthMax), problem: 'objects and lists nest deeper than 8' });
    const deepLists = JSON.parse(`{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`) as Json;
    expect(errorOf(NO_TAGS, deepLists)).toBeInstanceOf(TagError);
  });

  test('keys of the patch, and of what it makes', () => {
    const half = mergeTags(NO_TAGS, { in: keys(keysMax - 1) });
    expect(errorOf(half, { one: 1 })).toMatchObject({ problem: 'more than 256 keys in all' });
    expect(errorOf(NO_TAGS, keys(keysMax + 1))).toMatchObject({ problem: 'more than 256 keys in all' });
    expect(mergeTags(half, { in: null, other: { more: keys(keysMax - 3) } }).in).toBeUndefined();
  });

  test('bytes of a key', () => {
    expect(() => mergeTags(NO_TAGS, { ['k'.repeat(keyBytesMax)]: 1 })).not.toThrow();
    const problem = 'a key has more than 128 bytes';
    expect(errorOf(NO_TAGS, { ['é'.repeat(keyBytesMax / 2 + 1)]: 1 })).toMatchObject({ problem });
  });

  test('a patch of very many values is refused before all of them were looked at', () => {
    const list = new Proxy<Json[]>(
      Array.from({ length: 100_000 }, () => 0),
      {
        get: (target, key) => {
          expect(Number(key) > bytesMax).toBe(false);
          return Reflect.get(target, key) as unknown;
        },
      },
    );
    expect(errorOf(NO_TAGS, { list })).toMatchObject({ problem: 'more values than 4096 bytes can hold' });
  });
});

const keyNames = fc.constantFrom('a', 'b', 'c', '1', 'constructor', 'x.y');
const { value } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, 0, 1, 0.5, 'a', ''),
    fc.array(tie('value'), { maxLength: 2 }),
    fc.dictionary(keyNames, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
}));
const objects = fc.dictionary(keyNames, value, { maxKeys: 4, noNullPrototype: true });

test('it is the procedure of RFC 7396; frozen; done twice it changes nothing', () => {
  const property = fc.property(objects, objects, (first, patch) => {
    const tags = mergeTags(NO_TAGS, first);
    const merged = mergeTags(tags, patch);
    expect(merged).toEqual(plainMerge(structuredClone(tags), patch));
    expectFrozen(merged);
    expect(mergeTags(merged, patch)).toBe(merged);
    expect(mergeTags(NO_TAGS, JSON.parse(JSON.stringify(first)) as Json)).toEqual(tags);
  });
  fc.assert(property, runs);
});

test('any JSON is merged or refused, and no prototype changes', () => {
  const property = fc.property(fc.jsonValue({ noUnicodeString: false }), (patch) => {
    const error = errorOf(NO_TAGS, patch as Json);
    if (error !== undefined) expect(error).toBeInstanceOf(TagError);
    expect(Object.getPrototypeOf(NO_TAGS)).toBe(Object.prototype);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
  fc.assert(property, runs);
});

/** Section 2 of the RFC, line by line. */
function plainMerge(target: Json | undefined, patch: Json): Json {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, Json> =
    typeof target !== 'object' || target === null || Array.isArray(target) ? {} : { ...(target as JsonObject) };
  for (const [key, inner] of Object.entries(patch as JsonObject)) {
    if (inner === null) delete result[key];
    else result[key] = plainMerge(Object.hasOwn(result, key) ? result[key] : undefined, inner);
  }
  return result;
}

function expectFrozen(json: Json): void {
  if (typeof json !== 'object' || json === null) return;
  expect(Object.isFrozen(json)).toBe(true);
  for (const inner of Object.values<Json>(json)) expectFrozen(inner);
}

function errorOf(tags: Tags, patch: Json): unknown {
  try {
    mergeTags(tags, patch);
    return undefined;
  } catch (error) {
    return error;
  }
}
