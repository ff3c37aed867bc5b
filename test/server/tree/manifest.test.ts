/** The manifest as bytes: a frozen vector, and no changed byte that passes. */

import { expect, test } from 'vitest';
import { createLsmMemory } from '../../../core/lsm.ts';
import { RecoveryError } from '../../../server/errors.ts';
import { decodeManifest, emptyManifest, encodeManifest, type Manifest } from '../../../server/tree/manifest.ts';

const memory = createLsmMemory();

const sample: Manifest = {
  edit: 7,
  fileNext: 13,
  round: 5,
  checkpoint: { lsn: 900, journal: { file: 3, offset: 48 } },
  dropped: [
    { start: Uint8Array.of(2), end: Uint8Array.of(3), edit: 6 },
    { start: Uint8Array.of(4), end: null, edit: 7 },
  ],
  files: [
    {
      ...{
        number: 12,
        level: 0,
        run: 5,
        size: 8_000,
        entries: 300,
        trimmed: true,
        cleanEdit: 7,
        lsnMin: 1,
        lsnMax: 900,
      },
      ...{ first: Uint8Array.of(1, 255), last: Uint8Array.of(), sha256: 'ab'.repeat(32) },
    },
    {
      ...{ number: 3, level: 2, run: 0, size: 9_000, entries: 1, trimmed: false, cleanEdit: 2, lsnMin: 4, lsnMax: 4 },
      ...{ first: new Uint8Array(255).fill(7), last: new Uint8Array(255).fill(8), sha256: 'cd'.repeat(32) },
    },
  ],
};

test('comes back as it was written', () => {
  for (const manifest of [sample, emptyManifest]) {
    expect(decodeManifest(memory, encodeManifest(memory, manifest))).toEqual(manifest);
  }
});

test('has the bytes that it had in format version 1', () => {
  const lines = [
    '{"magic":"TQTREE","format":1,"edit":7,"fileNext":13,"round":5,',
    '"checkpoint":{"lsn":900,"journal":{"file":3,"offset":48}},"dropped":[["02","03",6],["04",null,7]],\n',
    '"files":[\n',
    '{"number":12,"level":0,"run":5,"size":8000,"entries":300,"trimmed":true,"cleanEdit":7,"lsnMin":1,"lsnMax":900,',
    `"first":"01ff","last":"","sha256":"${'ab'.repeat(32)}"}\n`,
    ']}\nxxh64 5f57a887c9f3d8c2\n',
  ];
  expect(encodeManifest(memory, { ...sample, files: sample.files.slice(0, 1) }).toString()).toBe(lines.join(''));
});

test('is refused whatever byte changes, and wherever it is cut', () => {
  const bytes = encodeManifest(memory, sample);
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at] ^= 1 << (at % 8);
    expect(() => decodeManifest(memory, flipped), `byte ${at}`).toThrow(RecoveryError);
    expect(() => decodeManifest(memory, bytes.subarray(0, at)), `cut at ${at}`).toThrow(RecoveryError);
  }
});

test('of another format is refused with its number', () => {
  const text = encodeManifest(memory, emptyManifest).toString().replace('"format":1', '"format":2');
  expect(() => decodeManifest(memory, Buffer.from(text))).toThrow(RecoveryError);
});
