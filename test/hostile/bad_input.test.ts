/** Every route of a real server against every wrong thing of the tables: the right code, no trace, and the server lives on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCase, readTable, tableNames, tryCase } from './table.ts';
import { startWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.stop());

describe.each(tableNames)('%s', (name) => {
  test.each(readTable(name))('%s', async (line) => {
    expect(await tryCase(world, parseCase(line, world.words))).toEqual([]);
  });
});
