/** What is derived from core/protocol.ts is fresh, and the catalogue is what its readers take it for. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorKinds, errors, limits, routes } from '@transfer-queue/core/protocol';
import { generated } from '../.ci/generate.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test.each(Object.entries(generated()))('%s is what `npm run generate` makes', (path, text) => {
  expect(read(path)).toBe(text);
});

test('every code has a kind, a status of refusal and a message that is a sentence', () => {
  for (const [code, { kind, status, message }] of Object.entries(errors)) {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(errorKinds).toContain(kind);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(message).toMatch(/^[A-Z].*\.$/);
  }
});

test('routes differ by method and path', () => {
  const keys = Object.values(routes).map(({ method, path }) => `${method} ${path}`);
  expect(new Set(keys).size).toBe(keys.length);
});

test('limits are positive integers, and what a client may send fits them together', () => {
  for (const limit of Object.values(limits)) expect(Number.isSafeInteger(limit) && limit > 0).toBe(true);
  const idDigitsMax = 17;
  expect(limits.readRowsMax * idDigitsMax).toBeLessThan(limits.jsonBodyBytesMax);
  expect(limits.groupSizeMax).toBeLessThanOrEqual(limits.claimRowsMax);
});
