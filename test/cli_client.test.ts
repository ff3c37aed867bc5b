/** `tq top`, `rows`, `leases`, `dead-letters` and `why-held` as an operator runs them, against a real server. */
import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scalars, streamOf } from './hostile/bodies.ts';
import { TestClient } from './support/http_client.ts';
import { startServer, temporaryDirectory, type ServerProcess } from './support/process.ts';

const MAIN = fileURLToPath(new URL('../server/main.ts', import.meta.url));
const TOKEN = 'correct-horse-battery-staple';
const EXIT = { ok: 0, refused: 1, usage: 64 } as const;
const IDS = [0, 1, 2, 3, 4, 5, 6, 7];

const home = temporaryDirectory('client');
let server: ServerProcess;
const bearer = { authorization: `Bearer ${TOKEN}` };

/** Rows 0 to 7 with tags; 0 and 1 are dead letters of the trainer, 2 and 3 leased to it. */
beforeAll(async () => {
  server = await startServer({ directory: home.path, env: { TQ_TOKEN: TOKEN } });
  const client = new TestClient(server.url);
  const post = async (path: string, body: object | Uint8Array) => {
    const method = path.endsWith('train') ? 'PUT' : 'POST';
    const answer = await client.request(method, `/v1/partitions/${path}`, body, bearer);
    expect([path, answer.status]).toEqual([path, 200]);
    return answer;
  };
  await post('train', { tasks: { trainer: { max_attempts: 1 } }, numbers: ['length'] });
  await post('train/rows', streamOf(IDS, [scalars('a', IDS.length)]));
  await post('train/rows:tag', { ids: IDS, tags: IDS.map((id) => ({ length: id, status: 'finished' })) });
  const claim = { task: 'trainer', fields: ['a'], rows_max: 2, lease_ms: 3_600_000 };
  const { headers } = await post('train/claims', claim);
  const release = `/v1/claims/${headers.get('tq-claim')}:release`;
  expect((await client.request('POST', release, undefined, bearer)).status).toBe(200);
  await post('train/claims', claim);
});

afterAll(async () => {
  server.signal('SIGTERM');
  await server.exited;
  home.remove();
  expect(server.log()).toBe('');
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function tq(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TQ_URL: server.url, TQ_TOKEN: TOKEN, ...env },
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (part: Buffer) => (text[name] += part.toString()));
  return new Promise((resolve) => child.once('close', (status) => resolve({ status, ...text })));
}

/** An address at which nobody listens any more. */
async function unusedUrl(): Promise<string> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** The lines of JSON that a command prints. */
async function jsonOf(...args: string[]): Promise<Record<string, unknown>[]> {
  const { status, stdout, stderr } = await tq([...args, '--json']);
  expect([status, stderr]).toEqual([EXIT.ok, '']);
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('what a server holds', () => {
  test('rows, by filter', async () => {
    const { status, stdout } = await tq(['rows', 'train', '--where', 'length > 5 and status == "finished"']);
    expect(status).toBe(EXIT.ok);
    expect(stdout).toMatch(/row +length +tags\n─+\n +6 +6 +status "finished"\n +7 +7 +status "finished"\n\n2 rows\n$/);
  });

  test('rows, by ids, and those that a task could claim', async () => {
    expect(await jsonOf('rows', 'train', '3', '5', '99')).toEqual([
      { id: 3, tags: { status: 'finished' }, numbers: { length: 3 } },
      { id: 5, tags: { status: 'finished' }, numbers: { length: 5 } },
    ]);
    const ready = await jsonOf('rows', 'train', '--ready', 'trainer', '--fields', 'a', '--limit', '3');
    expect(ready).toMatchObject([
      { id: 4, attempts: 1 },
      { id: 5, attempts: 1 },
      { id: 6, attempts: 1 },
    ]);
  });

  test('leases', async () => {
    expect(await jsonOf('leases', 'train')).toMatchObject([
      { leases: [{ task: 'trainer', rows: 2, ids: [2, 3], attempts_max: 1, lease_ms: 3_600_000, fields: ['a'] }] },
    ]);
  });

  test('dead letters, and that they are tried anew', async () => {
    expect(await jsonOf('dead-letters', 'train')).toEqual([
      { task: 'trainer', id: 0, attempts: 1 },
      { task: 'trainer', id: 1, attempts: 1 },
    ]);
    const { stdout } = await tq(['dead-letters', 'train', 'trainer', '--requeue']);
    expect(stdout).toBe('task trainer tries 2 dead letters anew\n');
  });

  test('why a row is held', async () => {
    const { status, stdout } = await tq(['why-held', 'train', '2']);
    expect(status).toBe(EXIT.ok);
    expect(stdout).toMatch(/^\S.*trainer.*\n\nfield +lsn .*\n─+\na +\d/);
  });

  test('and how far all is, once where there is no terminal', async () => {
    const { status, stdout } = await tq(['top', '--interval', '0.1']);
    expect(status).toBe(EXIT.ok);
    expect(stdout).toMatch(/\ntrain +8 rows .*\n +task +consumed +% +lag .*\n.*\n +trainer +▒+░+ +0 % +8 /);
    const [top] = await jsonOf('top', '--interval', '0.1', '--once', 'train');
    expect(top).toMatchObject({ rows: 8, waiters: 0, partitions: [{ partition: 'train', tasks: [{ leased: 2 }] }] });
  });
});

describe('what goes wrong', () => {
  test('is told in one line, and by the exit code', async () => {
    const unknown = await tq(['leases', 'none']);
    expect(unknown).toEqual({
      status: EXIT.refused,
      stdout: '',
      stderr: expect.stringMatching(/^tq: partition_unknown: .*\n$/),
    });
    const filter = await tq(['rows', 'train', '--where', 'length >']);
    expect([filter.status, filter.stderr]).toEqual([EXIT.refused, expect.stringMatching(/^tq: filter_invalid: .*\n$/)]);
  });

  test('a token that is not the right one is never shown', async () => {
    const { status, stderr } = await tq(['leases', 'train'], { TQ_TOKEN: 'wrong-token' });
    expect([status, stderr]).toEqual([EXIT.refused, expect.stringMatching(/^tq: unauthorized: /)]);
    expect(stderr).not.toContain('wrong-token');
    expect((await tq(['leases', '--help'])).stdout).not.toContain(TOKEN);
  });

  test('a server that is not there', async () => {
    const url = await unusedUrl();
    const stderr = `tq: cannot ask ${url}: ECONNREFUSED\n`;
    expect(await tq(['top', '--json', '--url', url])).toEqual({ status: EXIT.refused, stdout: '', stderr });
  });

  test.each([
    [['rows', 'train', 'x']],
    [['rows', 'train', '--ready', 'trainer']],
    [['why-held', 'train', '1.5']],
    [['top', '--interval', '0']],
    [['leases', 'train', '--url', 'localhost:7654']],
  ])('a command that is not used as meant: %j', async (args) => {
    const { status, stdout, stderr } = await tq(args);
    expect([status, stdout]).toEqual([EXIT.usage, '']);
    expect(stderr).toMatch(/^error: /);
  });
});
