/** Blobs and loads of a real server against bytes and names that are almost right: refused, without a trace. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EncodedColumn } from '@transfer-queue/core/arrow';
import { mediaTypes, type ErrorCode } from '@transfer-queue/core/protocol';
import { checksumOf, streamOf } from './bodies.ts';
import { Connection, type Request } from './client.ts';
import { tryCase } from './table.ts';
import { jsonRequest, putRequest, startWorld, succeed, type World } from './world.ts';

const LEASE = { lease_ms: 3_600_000 };
const BODY_SIZE_MAX = 32 << 20;
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const [cat, dog] = [digestOf('cat'), digestOf('dog')];

let world: World;
/** An open load, one that was closed, the name that partition `images` is staged under, and its state. */
let places: { load: string; closed: string; staging: string; state: Buffer };

beforeAll(async () => {
  world = await startWorld();
  const { url } = world;
  await succeed(url, jsonRequest('PUT', '/v1/partitions/images', { fields: { image: { layout: 'blob' } } }));
  await succeed(url, raw('PUT', `/v1/partitions/images/blobs/${cat}`, Buffer.from('cat')));
  await succeed(url, putRequest('images', named([Buffer.from(cat, 'hex')])));
  const { snapshot } = await answer(jsonRequest('POST', '/v1/snapshots', { ...LEASE, state: true }));
  const { body } = await succeed(url, { method: 'GET', target: `/v1/snapshots/${snapshot}/partitions/images/state` });
  const [{ load }, { load: closed }] = [await openLoad(), await openLoad()];
  await succeed(url, { method: 'POST', target: `/v1/loads/${closed}:close` });
  const { staging } = await answer(raw('PUT', `/v1/loads/${load}/partitions/images`, body));
  places = { load, closed, staging, state: body };
});

afterAll(async () => {
  await world.stop();
  expect(world.server.log()).toBe('');
});

async function answer(request: Request): Promise<Record<string, string>> {
  const { body } = await succeed(world.url, request);
  return JSON.parse(body.toString()) as Record<string, string>;
}

const openLoad = (): Promise<Record<string, string>> => answer(jsonRequest('POST', '/v1/loads', LEASE));

function raw(method: string, target: string, body: Uint8Array, headers: Record<string, string> = {}): Request {
  return { method, target, headers: { 'content-type': mediaTypes.raw, ...headers }, body };
}

/** A put of rows that name these digests. */
function named(digests: readonly Buffer[]): Buffer {
  const offsets = new Int32Array(digests.length + 1);
  for (const [i, { length }] of digests.entries()) offsets[i + 1] = offsets[i] + length;
  const column: EncodedColumn = { name: 'image', layout: { layout: 'blob' }, offsets, values: Buffer.concat(digests) };
  return streamOf([...digests.keys()], [column]);
}

interface Header {
  readonly settings: object;
  readonly records: number;
}

/** The state with another header or other records, and a checksum that says that all is well. */
function forged(change: (header: Header) => object, more: Uint8Array = Buffer.alloc(0)): Buffer {
  const { state } = places;
  const end = 12 + state.readUInt32LE(8);
  const header = JSON.parse(state.toString('utf8', 12, end)) as Header;
  const json = Buffer.from(JSON.stringify({ ...header, ...change(header) }));
  const padded = Buffer.concat([json, Buffer.alloc((8 - ((12 + json.length) % 8)) % 8, ' ')]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(padded.length);
  const bytes = Buffer.concat([state.subarray(0, 8), size, padded, state.subarray(end, -8), more]);
  return Buffer.concat([bytes, checksumOf(bytes)]);
}

const settings = (more: object) => (header: Header) => ({
  settings: { ...header.settings, ...more },
});
const many = (count: number): { name: string }[] => Array.from({ length: count }, (_, i) => ({ name: `n${i}` }));
const stage = (body: Uint8Array, load = places.load, name = 'other'): Request =>
  raw('PUT', `/v1/loads/${load}/partitions/${name}`, body);
const upload = (digest: string, body: string, headers = {}): Request =>
  raw('PUT', `/v1/partitions/images/blobs/${digest}`, Buffer.from(body), headers);

type Cases = Readonly<Record<string, readonly [ErrorCode, () => Request]>>;

async function refused([code, request]: readonly [ErrorCode, () => Request]): Promise<string[]> {
  return tryCase(world, { line: '', codes: [code], request: request() });
}

const blobCases: Cases = {
  'other bytes than those of the digest': ['blob_mismatch', () => upload(dog, 'cat')],
  'one byte less': ['blob_mismatch', () => upload(dog, 'do')],
  'one byte more': ['blob_mismatch', () => upload(dog, 'dog\0')],
  'no bytes under a digest of some': ['blob_mismatch', () => upload(dog, '', { 'content-length': '0' })],
  'a digest in capitals': ['blob_invalid', () => upload(dog.toUpperCase(), 'dog')],
  'more bytes than a put may have': [
    'body_too_large',
    () => upload(dog, 'dog', { 'content-length': String(BODY_SIZE_MAX + 17) }),
  ],
  'a partition that is staged, asked as if it were there': [
    'partition_unknown',
    () => ({ method: 'GET', target: `/v1/partitions/${places.staging}` }),
  ],
  'the blob of another partition': [
    'blob_missing',
    () => ({ method: 'GET', target: `/v1/partitions/train/blobs/${cat}` }),
  ],
  'a row that names a blob that is not there': [
    'blob_missing',
    () => putRequest('images', named([Buffer.from(cat, 'hex'), Buffer.from(dog, 'hex')])),
  ],
  'a cell that is no digest': ['blob_invalid', () => putRequest('images', named([Buffer.alloc(31)]))],
  'cells that are digests together': [
    'blob_invalid',
    () => putRequest('images', named([Buffer.alloc(30), Buffer.alloc(34)])),
  ],
  'a question about a digest and a half': [
    'json_invalid',
    () => jsonRequest('POST', '/v1/partitions/images/blobs:missing', { digests: [cat, dog.slice(32)] }),
  ],
};

const loadCases: Cases = {
  'a load that was closed': ['load_unknown', () => stage(places.state, places.closed)],
  'a load that is yet to come': ['load_unknown', () => stage(places.state, nextOf(places.closed))],
  'a load of another run': ['load_unknown', () => stage(places.state, places.load.replace(/^\d+/, '7'))],
  'a load with a zero before it': ['load_unknown', () => stage(places.state, `0${places.load}`)],
  'a name of the server': ['name_invalid', () => stage(places.state, places.load, places.staging)],
  'no bytes': ['length_required', () => ({ ...stage(Buffer.alloc(0)), body: undefined })],
  'more bytes than a put may have': [
    'body_too_large',
    () => raw('PUT', `/v1/loads/${places.load}/partitions/x`, Buffer.from('x'), { 'content-length': '33554433' }),
  ],
  'another state under the same name': [
    'load_invalid',
    () =>
      stage(
        forged(() => ({ lsn: 1 })),
        places.load,
        'images',
      ),
  ],
  'a surplus byte': ['load_invalid', () => stage(Buffer.concat([places.state, Buffer.of(0)]))],
  'another format': ['load_invalid', () => stage(forged(() => ({ format: 2 })))],
  'a header that is a list': ['load_invalid', () => stage(forged(() => ({ settings: [] })))],
  'rows beyond its end': [
    'load_invalid',
    () => stage(forged(() => ({ sets: [{ fields: ['image'], rows: 2 ** 40 }] }))),
  ],
  'one record less than it says': ['load_invalid', () => stage(forged(({ records }) => ({ records: records + 1 })))],
  'a record of nonsense': [
    'load_invalid',
    () => stage(forged(({ records }) => ({ records: records + 1 }), Buffer.from('02000000ffff02000000ffff', 'hex'))),
  ],
  'a record longer than all': ['load_invalid', () => stage(forged(() => ({}), Buffer.from('ffffffff', 'hex')))],
  'rows that end with the process': ['load_invalid', () => stage(forged(settings({ ack: 'memory' })))],
  'a layout that is none': [
    'layout_invalid',
    () => stage(forged(settings({ fields: [{ name: 'image', layout: { layout: 'x' } }] }))),
  ],
  'more tasks than may be': ['load_invalid', () => stage(forged(settings({ tasks: many(100_000) })))],
  'more numbers than may be': [
    'load_invalid',
    () => stage(forged(settings({ numbers: many(17).map(({ name }) => name) }))),
  ],
  'a setting that nobody knows': ['load_invalid', () => stage(forged(settings({ root: true })))],
  'a commit of a load that is yet to come': [
    'load_unknown',
    () => jsonRequest('POST', `/v1/loads/${nextOf(places.closed)}:commit`, {}),
  ],
  'a commit that would replace what it was not told to': [
    'partition_exists',
    () => jsonRequest('POST', `/v1/loads/${places.load}:commit`, {}),
  ],
  // The last one: what became of a commit is said again.
  'a commit without the rows of the state': [
    'load_invalid',
    () => jsonRequest('POST', `/v1/loads/${places.load}:commit`, { replace: true }),
  ],
};

function nextOf(load: string): string {
  const [epoch, number] = load.split('-');
  return `${epoch}-${Number(number) + 1}`;
}

test('a state that is only made anew is taken', async () => {
  const { load } = await openLoad();
  await succeed(
    world.url,
    stage(
      forged(() => ({})),
      load,
    ),
  );
  await succeed(world.url, { method: 'POST', target: `/v1/loads/${load}:close` });
});

describe('blobs', () => {
  test.each(Object.keys(blobCases))('%s', async (name) => expect(await refused(blobCases[name])).toEqual([]));
});

describe('loads', () => {
  test('a state cut anywhere, or with any bit flipped', async () => {
    const { state } = places;
    for (let at = 1; at < state.length; at += Math.ceil(state.length / 20)) {
      const flipped = Buffer.from(state);
      flipped[at] ^= 1 << (at % 8);
      for (const bytes of [state.subarray(0, at), flipped]) {
        expect(await refused(['load_invalid', () => stage(bytes)])).toEqual([]);
      }
    }
  });

  test.each(Object.keys(loadCases))('%s', async (name) => expect(await refused(loadCases[name])).toEqual([]));
});

test('a state and a blob that never come as a whole leave nothing, and no room is lost', async () => {
  const before = await world.state();
  const { load } = await openLoad();
  for (let round = 0; round < 4; round++) {
    for (const request of [stage(Buffer.from('TQ'), load), upload(dog, 'd')]) {
      const connection = await Connection.open(world.url);
      const headers = { ...request.headers, 'content-length': String(BODY_SIZE_MAX - 1_024) };
      const answered = connection.ask({ ...request, headers });
      await succeed(world.url, { method: 'GET', target: '/healthz' });
      connection.close();
      expect(await answered).toBeNull();
    }
  }
  await succeed(world.url, { method: 'POST', target: `/v1/loads/${load}:close` });
  await succeed(world.url, { method: 'GET', target: '/healthz' });
  expect(await world.state()).toBe(before);
  const again = await openLoad();
  await succeed(world.url, stage(places.state, again.load));
});
