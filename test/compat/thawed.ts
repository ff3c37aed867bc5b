/** Frozen directories for tests: a copy, opened, and what the test must know of it. */
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { OpenedNode } from '../../server/engine/open.ts';
import { realEnv } from '../../server/env/real.ts';
import { openTestNode } from '../support/node.ts';
import { temporaryDirectory } from '../support/process.ts';
import { quietLog } from '../support/sim_env.ts';
import { FACTS } from './freeze.ts';

/** Opens a copy of the frozen directory of this name for the tests of the block in which it is called. */
export function thawed(name: string): () => OpenedNode {
  const frozen = join(import.meta.dirname, name);
  const directory = temporaryDirectory(name);
  let opened: OpenedNode;

  beforeAll(async () => {
    for (const folder of readdirSync(frozen, { withFileTypes: true })) {
      if (folder.isDirectory())
        cpSync(join(frozen, folder.name), join(directory.path, folder.name), { recursive: true });
    }
    opened = await openTestNode(realEnv(quietLog), directory.path);
  });

  afterAll(async () => {
    await opened.close();
    directory.remove();
  });

  return () => opened;
}

export function factsOf<Facts>(name: string): Facts {
  return JSON.parse(readFileSync(join(import.meta.dirname, name, FACTS), 'utf8')) as Facts;
}
