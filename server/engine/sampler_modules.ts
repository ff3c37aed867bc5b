/**
 * Samplers of the operator: modules that the server loads at its start, each under the name by which claims ask for it.
 *
 *   --sampler longest=./longest.mjs        export function sample({ ids, rowsMax, numbers, ... }) { return places }
 *
 * They are trusted code of the server's own process: `sample` runs in the turn of a claim, so that it must be quick and
 * cannot wait. What it is given, and what it returns, stands in server/queue/events.ts: `Candidates`, `Choose`.
 *
 * Invariant: a module that throws, or returns what is no list, fails the claim that asked for it and nothing else.
 */
import { samplers as ours } from '@transfer-queue/core/protocol';
import { ConfigError } from '../config.ts';
import type { Log } from '../env/env.ts';
import type { Choose } from '../queue/events.ts';

export type SamplerModules = ReadonlyMap<string, Choose>;

export interface Loader {
  readonly load: (path: string) => Promise<object>;
  readonly log: Log;
}

/** `name=path` of each. Throws a `ConfigError` that names the module which cannot be used. */
export async function loadSamplers(pairs: readonly string[], { load, log }: Loader): Promise<SamplerModules> {
  const modules = new Map<string, Choose>();
  for (const pair of pairs) {
    const [name, path] = pair.split(/=(.*)/s);
    const refuse = (reason: string): never => {
      throw new ConfigError(`the sampler ${name}: ${reason}`);
    };
    if (ours.some((known) => known === name) || modules.has(name)) refuse('there is one of this name');
    const module = await load(path).catch((error: unknown) => refuse(`${path}: ${(error as Error).message}`));
    const sample: unknown = 'sample' in module ? module.sample : undefined;
    if (typeof sample !== 'function') refuse(`${path} exports no function "sample"`);
    modules.set(name, guarded(name, sample as Choose, log));
  }
  return modules;
}

function guarded(name: string, sample: Choose, log: Log): Choose {
  return (candidates) => {
    try {
      const chosen: unknown = sample(candidates);
      if (Array.isArray(chosen) || ArrayBuffer.isView(chosen)) return chosen as unknown as ArrayLike<number>;
      throw new TypeError('sample() returned no list of places');
    } catch (error) {
      log.error({ err: error, sampler: name }, 'a sampler failed');
      return undefined;
    }
  };
}
