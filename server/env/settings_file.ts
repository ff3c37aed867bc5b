/** Reads the settings file, before there is an `Env`. */
import { readFileSync } from 'node:fs';

/** The JSON object in a file; throws what reading or parsing throws. */
export function readSettingsFile(path: string): Record<string, unknown> {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it holds no JSON object');
  return value as Record<string, unknown>;
}
