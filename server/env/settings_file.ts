/** Reads the settings file, before there is an `Env`. */
import { readFileSync } from 'node:fs';

/** The JSON object in a file; throws what reading throws, or an `Error` that says what is wrong with it. */
export function readSettingsFile(path: string): Record<string, unknown> {
  const value = parsed(readFileSync(path, 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it holds no JSON object');
  return value as Record<string, unknown>;
}

/** The parser's own message quotes what it found, which may be the token: only its place is repeated. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const [place] = /line \d+ column \d+/.exec((error as Error).message) ?? ['its end'];
    throw new Error(`it is not valid JSON at ${place}`, { cause: error });
  }
}
