/** The memory of a tree: views that survive growth, slots, hashes, and instances that share nothing. */

import { expect, test } from 'vitest';

import { createLsmMemory, LsmMemoryFull, SLOT_SIZE } from '../../../core/lsm.ts';
import { h64Raw } from '../assembly/raw.ts';

test('slots keep their bytes while memory grows, and are used again', () => {
  const memory = createLsmMemory();
  const slots = Array.from({ length: 200 }, (_, i) => {
    const slot = memory.slotAlloc();
    memory.write(slot, new Uint8Array(SLOT_SIZE).fill(i));
    return slot;
  });
  expect(new Set(slots).size).toBe(slots.length);
  slots.forEach((slot, i) => expect(memory.read(slot, SLOT_SIZE).every((byte) => byte === i % 256)).toBe(true));
  const { size } = memory;
  for (const slot of slots) memory.slotFree(slot);
  for (let i = 0; i < slots.length; i++) memory.slotAlloc();
  expect(memory.size).toBe(size);
});

test('bytes, words and numbers are views of one memory', () => {
  const memory = createLsmMemory();
  memory.writeNumbers(memory.window, [1, 2.5, 2 ** 53 - 1], 1, 2);
  expect([...memory.numbers.subarray(memory.window / 8, memory.window / 8 + 2)]).toEqual([2.5, 2 ** 53 - 1]);
  expect(memory.words[memory.window / 4 + 1]).toBe(0x40040000);
  const copy = memory.read(memory.window, 8);
  memory.bytes.fill(0, memory.window, memory.window + 8);
  expect(copy[7]).toBe(0x40);
  expect(memory.windowSize % 8).toBe(0);
});

test('hashes of its own bytes are xxh64', () => {
  const memory = createLsmMemory();
  const slot = memory.slotAlloc();
  const out = new Uint8Array(10);
  for (const size of [0, 1, 12, 100, SLOT_SIZE]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i * 7);
    memory.write(slot, bytes);
    memory.hashInto(slot, size, out, 1);
    expect(new DataView(out.buffer).getBigUint64(1, true)).toBe(h64Raw(bytes));
  }
});

test('memory at its maximum is an error', () => {
  const memory = createLsmMemory();
  memory.raw.memory.grow(16_384 - memory.size / 65_536);
  expect(memory.size).toBe(2 ** 30);
  expect(() => memory.slotAlloc()).toThrow(LsmMemoryFull);
});

test('instances share nothing', () => {
  const [one, other] = [createLsmMemory(), createLsmMemory()];
  const slot = one.slotAlloc();
  one.write(slot, Uint8Array.of(1, 2, 3));
  expect(other.slotAlloc()).toBe(slot);
  expect(other.read(slot, 3)).toEqual(new Uint8Array(3));
});
