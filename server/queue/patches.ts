/**
 * Texts of patches of tags, read: what each says for a queue.
 *
 *   {"status":"done","reward":1} --PatchReader--> tags { status }, numbers [ reward = 1 ]      reward is declared
 *
 * A text that was read just before is the same patch, so that rows which are tagged alike share what it makes of their
 * tags.
 */
import { KEY_TAG, limits, RESERVED_PREFIX, TAG_NAME_PATTERN } from '@transfer-queue/core/protocol';
import { isObject, type Json, type JsonObject } from '../sampler/json.ts';
import { TagError, type Tags } from '../sampler/merge_tags.ts';
import { numberIndex } from './numbers.ts';
import type { PartitionQueue } from './state.ts';

export interface Patch {
  /** Without the declared numbers. */
  readonly tags: JsonObject;
  readonly numbers: readonly PatchedNumber[];
  /** The tags that it was merged into last, and what came of it. */
  before: Tags | undefined;
  after: Tags | undefined;
}

interface PatchedNumber {
  readonly name: string;
  readonly number: number;
  /** NaN takes the number away. */
  readonly value: number;
}

/** Many times what a row can have: a patch may take away more than it brings. */
const PATCH_BYTES_MAX = 4 * limits.tagsBytesMax;

/** Texts that come again mostly do so soon; to remember all of them costs as much as to read them. */
const PATCHES_KEPT = 256;

const NO_NUMBERS: readonly PatchedNumber[] = [];
const namePattern = new RegExp(TAG_NAME_PATTERN);

/** Reads texts for a queue as it is declared now. */
export class PatchReader {
  readonly #queue: PartitionQueue;
  readonly #patches = new Map<string, Patch>();
  /** Names that may be used, with the place of the declared number, or -1. */
  readonly #names = new Map<string, number>();

  constructor(queue: PartitionQueue) {
    this.#queue = queue;
  }

  /** Undefined for an empty text, which says nothing. Throws TagError. */
  read(text: string): Patch | undefined {
    if (text === '') return undefined;
    const known = this.#patches.get(text);
    if (known !== undefined) return known;
    const patch = this.#parse(text);
    if (this.#patches.size === PATCHES_KEPT) this.#patches.clear();
    this.#patches.set(text, patch);
    return patch;
  }

  #parse(text: string): Patch {
    checkSize(text);
    const json = parseJson(text);
    if (!isObject(json)) throw new TagError('', 'tags are a JSON object');
    const names = Object.keys(json);
    let numbers: PatchedNumber[] | undefined;
    for (let i = 0; i < names.length; i += 1) {
      const name = names[i];
      const number = this.#numberOf(name, json[name]);
      if (number >= 0) (numbers ??= []).push({ name, number, value: readNumber(name, json[name]) });
    }
    if (numbers === undefined) return patchOf(json, NO_NUMBERS);
    const others = names.filter((name) => this.#names.get(name) === -1);
    // Not by assignment: to `__proto__` that makes no key, which would not be refused.
    return patchOf(Object.fromEntries(others.map((name) => [name, json[name]])), numbers);
  }

  #numberOf(name: string, value: Json): number {
    const known = this.#names.get(name);
    if (known !== undefined && name !== KEY_TAG) return known;
    checkName(name, value);
    const number = numberIndex(this.#queue, name);
    this.#names.set(name, number);
    return number;
  }
}

function patchOf(tags: JsonObject, numbers: readonly PatchedNumber[]): Patch {
  return { tags, numbers, before: undefined, after: undefined };
}

function checkSize(text: string): void {
  // A character takes three bytes at most.
  if (text.length <= PATCH_BYTES_MAX / 3 || Buffer.byteLength(text) <= PATCH_BYTES_MAX) return;
  throw new TagError('', `more than ${PATCH_BYTES_MAX} bytes of JSON`);
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw new TagError('', 'the text is not JSON');
  }
}

function checkName(name: string, value: Json): void {
  if (!namePattern.test(name)) throw new TagError(`/${pointerOf(name)}`, `names of tags are like ${TAG_NAME_PATTERN}`);
  if (!name.startsWith(RESERVED_PREFIX)) return;
  if (name !== KEY_TAG) throw new TagError(`/${name}`, `names that begin with ${RESERVED_PREFIX} are reserved`);
  if (typeof value !== 'string') throw new TagError(`/${name}`, 'the key of a row is a string, and stays');
}

function readNumber(name: string, value: Json): number {
  if (value === null) return NaN;
  if (typeof value === 'number' && Number.isFinite(value)) return value === 0 ? 0 : value;
  throw new TagError(`/${name}`, 'a declared number is a finite number or null');
}

function pointerOf(name: string): string {
  return name.slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1');
}
