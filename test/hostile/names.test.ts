/**
 * H8: names never become paths. A server is traced while it gets hostile names in every place where a name can stand;
 * once it was ready, no system call may name a file outside its data directory, nor may a file inside be named by a
 * caller.
 *
 * SEED=n chooses other names; TQ_LONG=1 sends 100,000.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errors, type ErrorCode } from '@transfer-queue/core/protocol';
import { seeded } from '../core/arrow/fixtures.ts';
import { startServer, temporaryDirectory } from '../support/process.ts';
import { isLong, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { hasStrace, straced } from '../support/strace.ts';
import { scalars, streamOf } from './bodies.ts';
import { Connection, type Request } from './client.ts';
import { hostileName, places } from './hostile_names.ts';
import { judge } from './judge.ts';
import { withBug, type PlantedBug } from './planted.ts';
import { streamOfSize } from './probes.ts';
import { jsonRequest, putRequest, succeed } from './world.ts';

const NAMES = isLong ? 100_000 : 2_000;
const SEED = seedOr(1);
/** All that a data directory ever holds. */
const OWN_FILES = new RegExp(
  [
    String.raw`^(lock\.sock|reserve|journal\.(synced|durable)|journal(\/\d+\.tqj)?|segments(\/\d+\.seg)?|`,
    String.raw`tree(\/(manifest(\.new)?|\d+\.sst))?)$`,
  ].join(''),
);
/** What the runtime reads by itself once it has run for a while: V8 for its clock, libc before it gives memory back. */
const RUNTIME_FILES = ['/sys/devices/system/cpu/cpu0/tsc_freq_khz', '/proc/sys/vm/overcommit_memory'];
const everyCode = Object.keys(errors) as ErrorCode[];

interface Outcome {
  /** Calls after the server was ready, as strace writes them. */
  readonly calls: readonly string[];
  readonly directory: string;
  readonly files: readonly string[];
  readonly problems: readonly string[];
}

async function tracedRun(count: number, env: Record<string, string> = {}): Promise<Outcome> {
  const directory = temporaryDirectory('names');
  const trace = temporaryDirectory('trace');
  const log = join(trace.path, 'calls');
  const wrapper = straced('-o', log, '-e', 'trace=%file');
  try {
    const server = await startServer({ directory: directory.path, wrapper, env });
    await prepare(server.url);
    const from = statSync(log).size;
    const problems = await askAll(server.url, count);
    // A put of its own segment opens a file: the trace sees what it should see.
    await succeed(server.url, putRequest('there', streamOfSize(4 << 20)));
    const files = readdirSync(directory.path, { recursive: true }) as string[];
    server.signal('SIGKILL');
    await server.exited;
    const calls = readFileSync(log).subarray(from).toString().split('\n');
    return { calls, directory: directory.path, files, problems };
  } finally {
    directory.remove();
    trace.remove();
  }
}

async function prepare(url: string): Promise<void> {
  await succeed(url, jsonRequest('PUT', '/v1/partitions/there', {}));
  await succeed(url, jsonRequest('PUT', '/v1/partitions/columns', {}));
  await succeed(url, putRequest('there', streamOf([0], [scalars('score', 1)])));
}

/** Sends the names to all places in turn; an answer is good, or a refusal of the catalogue. */
async function askAll(url: string, count: number): Promise<string[]> {
  const random = seeded(SEED);
  const requests = Object.values(places);
  const problems: string[] = [];
  let connection = await Connection.open(url);
  for (let i = 0; i < count; i++) {
    const name = hostileName(random);
    const request: Request = requests[i % requests.length](name);
    const answer = await connection.ask(request);
    const found = answer?.status === 200 ? [] : judge(answer, everyCode);
    problems.push(
      ...found.map((problem) => `${problem}: ${request.method} ${request.target.slice(0, 200)} ${name.slice(0, 200)}`),
    );
    // A head that ends too early for the server leaves the rest of the bytes behind: never use such a connection again.
    if (answer !== null && !answer.closes) continue;
    connection.close();
    connection = await Connection.open(url);
  }
  connection.close();
  return problems;
}

/** Files named by calls that lie outside the data directory, or inside but are none of the server's own. */
function foreignFiles({ calls, directory, files }: Outcome): string[] {
  const named = calls.flatMap((call) => [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, path]) => path));
  const isOwn = (path: string): boolean =>
    path === directory || OWN_FILES.test(relative(directory, path)) || RUNTIME_FILES.includes(path);
  return [...named.filter((path) => !isOwn(path)), ...files.filter((path) => !OWN_FILES.test(path))];
}

describe.skipIf(!hasStrace)('H8', () => {
  test(`${NAMES} hostile names open no file`, { timeout: TIMEOUT_MS }, async () => {
    const outcome = await tracedRun(NAMES);
    expect(outcome.problems).toEqual([]);
    expect(foreignFiles(outcome)).toEqual([]);
    expect(outcome.calls.filter((call) => call.includes(`${outcome.directory}/segments/`))).not.toEqual([]);
  });

  describe('the suite finds planted bugs', () => {
    test.each<[PlantedBug]>([['opens_names'], ['opens_fields'], ['opens_claims']])('%s', async (bug) => {
      expect(foreignFiles(await tracedRun(400, withBug(bug)))).not.toEqual([]);
    });
  });
});

describe('a refused name is not repeated at length', () => {
  test('nor are control characters sent back as they are', async () => {
    const directory = temporaryDirectory('echo');
    const server = await startServer({ directory: directory.path });
    await prepare(server.url);
    const connection = await Connection.open(server.url);
    for (const place of ['field to declare', 'field of a read', 'task', 'column']) {
      const answer = await connection.ask(places[place](`\u001b[2J\u0000${'x'.repeat(100_000)}`));
      expect(answer!.status).toBe(400);
      expect(answer!.body.length).toBeLessThan(2_000);
      expect(answer!.body.every((byte) => byte >= 0x20)).toBe(true);
    }
    connection.close();
    server.signal('SIGKILL');
    await server.exited;
    directory.remove();
  });
});
