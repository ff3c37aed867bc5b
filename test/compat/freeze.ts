/** A data directory as its node left it when it was killed, copied out of the simulation. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { SimFs } from '../support/sim_env.ts';

export const DIR = '/data';
/** What a killed process leaves of its last write. */
const TORN_SIZE = 20;
export const FACTS = 'facts.json';

/** `facts` is what a test must know of what was made. */
export function freeze(fs: SimFs, target: string, facts: object): void {
  for (const [path, { current }] of fs.files) {
    if (path.endsWith('/reserve')) continue;
    const copy = `${target}${path.slice(DIR.length)}`;
    mkdirSync(dirname(copy), { recursive: true });
    const torn = path.endsWith('.tqj') ? Buffer.alloc(TORN_SIZE, 0x54) : Buffer.alloc(0);
    writeFileSync(copy, Buffer.concat([current, torn]));
  }
  writeFileSync(join(target, FACTS), `${JSON.stringify(facts, null, 2)}\n`);
}
