/**
 * H5 over HTTP: malformed Arrow streams sent as puts. Each is refused with the code that the validator gives it,
 * nothing of it is stored, and the server's memory does not grow.
 *
 * SEED=n chooses other mutants; TQ_LONG=1 sends 300,000.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walkStream } from '@transfer-queue/core/arrow';
import type { ErrorCode } from '@transfer-queue/core/protocol';
import { readVector, seeded } from '../core/arrow/fixtures.ts';
import { arrowCorpus, mutantOf } from '../fuzz/arrow-mutants.ts';
import { startServer, temporaryDirectory, type ServerProcess } from '../support/process.ts';
import { isLong, seedOr, TIMEOUT_MS } from '../support/runs.ts';
import { streamOfSize } from './probes.ts';
import { Connection, headOf } from './client.ts';
import { judge } from './judge.ts';
import { withBug, type PlantedBug } from './planted.ts';
import { jsonRequest, metric, putRequest, stateOf, succeed } from './world.ts';

const MUTANTS = isLong ? 300_000 : 4_000;
const SEED = seedOr(1);
const MEMORY = 32 << 20;
/**
 * By how much the resident memory may grow over the last three quarters: what a heap breathes. In a short run 1 MiB was
 * seen; in a long one some 120 MiB until the first large collections, and 2 MiB in 600,000 puts more.
 */
const RSS_GROWTH_MAX = (isLong ? 160 : 24) << 20;
const CONNECTIONS = 4;
const refused = new URL('../vectors/arrow/refused/', import.meta.url);

/** Refusals of streams that the validator accepts: the partition declares no field. */
const CODES_IF_VALID: readonly ErrorCode[] = ['field_unknown', 'ids_duplicate', 'arrow_malformed'];

interface Target {
  readonly server: ServerProcess;
  readonly url: string;
  stop(): Promise<void>;
}

async function startTarget(env: Record<string, string> = {}): Promise<Target> {
  const directory = temporaryDirectory('puts');
  const server = await startServer({ directory: directory.path, arguments: ['--memory', `${MEMORY}`], env });
  await succeed(server.url, jsonRequest('PUT', '/v1/partitions/closed', { fields: {} }));
  return {
    ...{ server, url: server.url },
    async stop() {
      server.signal('SIGTERM');
      await server.exited;
      directory.remove();
    },
  };
}

function codesOf(stream: Uint8Array<ArrayBuffer>): readonly ErrorCode[] {
  if (stream.length === 0) return ['length_required'];
  const walked = walkStream(stream);
  return walked.ok ? CODES_IF_VALID : [walked.code];
}

/** Sends all bodies over a few connections; returns what is wrong with the answers. */
async function sendAll(url: string, bodies: readonly Uint8Array<ArrayBuffer>[]): Promise<string[]> {
  const problems: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    let connection = await Connection.open(url);
    while (next < bodies.length) {
      const body = bodies[next++];
      const answer = await connection.ask(putRequest('closed', body));
      const found = judge(answer, codesOf(body));
      problems.push(
        ...found.map((problem) => `${problem}: ${Buffer.from(body.subarray(0, 2_048)).toString('base64')}`),
      );
      if (answer !== null && !answer.closes) continue;
      connection.close();
      connection = await Connection.open(url);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  return problems;
}

function mutants(count: number, seed: number): Uint8Array<ArrayBuffer>[] {
  const corpus = arrowCorpus();
  const random = seeded(seed);
  return Array.from({ length: count }, () => mutantOf(corpus, random));
}

function residentSize({ child }: ServerProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) << 10;
}

/** What is wrong after the mutants: answers, state, memory. */
async function storm({ server, url }: Target, count: number, seed: number): Promise<string[]> {
  const before = await stateOf(url);
  const problems = await sendAll(url, mutants(count / 4, seed));
  const residentBefore = residentSize(server);
  for (let part = 1; part < 4; part++) problems.push(...(await sendAll(url, mutants(count / 4, seed + part))));
  const growth = residentSize(server) - residentBefore;
  if (growth > RSS_GROWTH_MAX) problems.push(`the memory grew by ${growth} bytes`);
  if ((await stateOf(url)) !== before) problems.push('the state changed');
  return problems;
}

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(async () => {
  await target.stop();
  expect(target.server.log()).toBe('');
});

describe('the corpus', () => {
  for (const code of readdirSync(refused)) {
    test.each(readdirSync(new URL(`${code}/`, refused)))(`${code}: %s`, async (file) => {
      const body = readVector(`refused/${code}/${file}`);
      expect(codesOf(body)).toEqual([code]);
      expect(await sendAll(target.url, [body])).toEqual([]);
    });
  }

  test('each good stream, cut at every multiple of 8 bytes', async () => {
    const whole = readVector('accepted/rows1.arrow');
    const cuts = Array.from({ length: Math.floor(whole.length / 8) - 1 }, (_, i) => whole.slice(0, 8 * (i + 1)));
    expect(await sendAll(target.url, cuts)).toEqual([]);
  });
});

test(`${MUTANTS} mutants leave neither state nor memory behind`, { timeout: TIMEOUT_MS }, async () => {
  expect(await storm(target, MUTANTS, SEED)).toEqual([]);
});

describe('room', () => {
  const SIZE = 6 << 20;
  const held = async (): Promise<number[]> => [
    await metric(target.url, 'tq_arena_held_bytes'),
    await metric(target.url, 'tq_segments'),
  ];

  /** What is held beyond that. Dead segments are recycled by the next background sync, those of before too. */
  async function heldBeyond(before: readonly number[]): Promise<number[]> {
    const beyond = async (): Promise<number[]> => (await held()).map((now, place) => Math.max(0, now - before[place]));
    for (let i = 0; i < 100 && (await beyond()).some((more) => more > 0); i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return beyond();
  }

  test('that large refused puts took comes back', async () => {
    await sendAll(target.url, [streamOfSize(1 << 10) as Uint8Array<ArrayBuffer>]);
    const before = await held();
    const noise = Uint8Array.from({ length: SIZE }, seededByte());
    const wrong = Uint8Array.from(streamOfSize(SIZE));
    wrong[wrong.length - 1] ^= 1;
    expect(
      await sendAll(
        target.url,
        Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? noise : wrong)),
      ),
    ).toEqual([]);
    expect(await heldBeyond(before)).toEqual([0, 0]);
  });

  test('that puts took whose clients went away comes back', async () => {
    const before = await held();
    const request = putRequest('closed', new Uint8Array(SIZE));
    for (const size of [0, 1, 1_000, 1 << 20, SIZE - 1]) {
      const connection = await Connection.open(target.url);
      const answer = connection.exchange(Buffer.concat([headOf(request), Buffer.alloc(size)]));
      await succeed(target.url, { method: 'GET', target: '/healthz' });
      connection.close();
      expect(await answer).toBeNull();
    }
    expect(await heldBeyond(before)).toEqual([0, 0]);
  });

  function seededByte(): () => number {
    const random = seeded(SEED);
    return () => random(256);
  }
});

describe('the suite finds planted bugs', () => {
  test.each<[PlantedBug, string]>([
    ['fails_at_unknown_field', 'status 500 is a failure of the server'],
    ['stores_on_refusal', 'the state changed'],
    ['keeps_refused_bodies', 'the memory grew'],
    ['says_yes_to_bad_streams', 'it was answered with 200'],
  ])('%s', async (bug, problem) => {
    const planted = await startTarget(withBug(bug));
    try {
      const problems = await storm(planted, 800, SEED);
      expect(problems.filter((found) => found.startsWith(problem))).not.toEqual([]);
    } finally {
      await planted.stop();
    }
  });
});
