/** Failpoints across processes: files arm them, they strike once, and without the directory they do not exist. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failpointFiles, parseArming } from '../../../server/env/failpoint_files.ts';
import type { Failpoint } from '../../../server/env/failpoints.ts';
import { bodyOf } from '../../support/node.ts';
import { FailpointDirectory } from '../../support/failpoints.ts';
import { TestClient } from '../../support/http_client.ts';
import { startServer, temporaryDirectory, type ServerProcess } from '../../support/process.ts';

const POINT = 'journal.sync';
const OTHER = 'journal.write';
const EXIT_CRASH = 70;

let directory: ReturnType<typeof temporaryDirectory>;
let points: FailpointDirectory;
beforeEach(() => {
  directory = temporaryDirectory('failpoints');
  points = new FailpointDirectory(directory.path);
});
afterEach(() => directory.remove());

describe('an armed point', () => {
  let exits: Failpoint[];
  let fail: ReturnType<typeof failpointFiles>;
  beforeEach(() => {
    exits = [];
    fail = failpointFiles(directory.path, (point) => exits.push(point));
  });

  test('strikes at its pass, once, and no other point does', async () => {
    points.arm(POINT, { action: 'throw', pass: 3 });
    expect([fail(POINT), fail(OTHER), fail(POINT)]).toEqual([null, null, null]);
    expect(points.wasHit(POINT)).toBe(false);
    await expect(fail(POINT)).rejects.toMatchObject({ code: 'EIO' });
    expect(points.wasHit(POINT)).toBe(true);
    expect([fail(POINT), fail(POINT), fail(POINT)]).toEqual([null, null, null]);
  });

  test('counts its passes anew each time', async () => {
    for (let round = 0; round < 2; round++) {
      points.arm(POINT, { action: 'throw', pass: 2 });
      expect(fail(POINT)).toBeNull();
      await expect(fail(POINT)).rejects.toThrow('failpoint');
    }
    points.arm(POINT, { action: 'throw', pass: 2 });
    expect(fail(POINT)).toBeNull();
    points.disarm(POINT);
    expect(fail(POINT)).toBeNull();
    points.arm(POINT, { action: 'throw', pass: 2 });
    expect(fail(POINT)).toBeNull();
  });

  test('ends the process', () => {
    points.arm(POINT, { action: 'exit', pass: 1 });
    void fail(POINT);
    expect(exits).toEqual([POINT]);
  });

  test('holds it back until it is released', async () => {
    points.arm(POINT, { action: 'pause', pass: 1 });
    let isOver = false;
    const paused = fail(POINT)!.then(() => (isOver = true));
    await points.hit(POINT);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(isOver).toBe(false);
    points.release(POINT);
    await paused;
    expect(existsSync(join(directory.path, `${POINT}.release`))).toBe(false);
  });

  test('delays it', async () => {
    points.arm(POINT, { action: 'delay', pass: 1, ms: 1 });
    await fail(POINT);
    expect(points.wasHit(POINT)).toBe(true);
  });

  test('is not armed by a file that is still empty', () => {
    writeFileSync(join(directory.path, `${POINT}.arm`), '');
    expect(fail(POINT)).toBeNull();
  });
});

test.each(['exit', 'exit 0', 'exit 1 5', 'delay 1', 'stop 1', 'throw -1', 'pause 1.5'])('"%s" arms nothing', (text) => {
  expect(() => parseArming(text)).toThrow('a failpoint is armed by');
});

describe('a server', () => {
  let server: ServerProcess;
  let data: ReturnType<typeof temporaryDirectory>;
  beforeEach(async () => {
    data = temporaryDirectory('failpoints-data');
    server = await startServer({ directory: data.path, env: points.environment });
  });
  afterEach(async () => {
    if (server.child.exitCode === null) server.signal('SIGKILL');
    await server.exited;
    data.remove();
  });

  const put = (id: number): Promise<string> => {
    const body = new Uint8Array(bodyOf([id], 'value', ['x']));
    const client = new TestClient(server.url);
    return client.request('POST', '/v1/partitions/p/rows', body).then(({ outcome }) => outcome);
  };

  test('goes on after a pause, and ends at an exit', async () => {
    const client = new TestClient(server.url);
    expect((await client.request('PUT', '/v1/partitions/p', { ack: 'disk' })).outcome).toBe('ok');
    points.arm(POINT, { action: 'pause', pass: 1 });
    const paused = put(1);
    await points.hit(POINT);
    expect(await Promise.race([paused, new Promise((resolve) => setTimeout(() => resolve('waits'), 50))])).toBe(
      'waits',
    );
    points.release(POINT);
    expect(await paused).toBe('ok');
    points.arm(POINT, { action: 'exit', pass: 1 });
    expect(await put(2)).toBe('unknown');
    expect(await server.exited).toEqual({ code: EXIT_CRASH, signal: null });
  });
});
