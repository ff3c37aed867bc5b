/** Loads modules that the settings name, before anything is served. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A path is relative to the working directory. Rejects with what loading throws. */
export async function loadModule(path: string): Promise<object> {
  return (await import(pathToFileURL(resolve(path)).href)) as object;
}
