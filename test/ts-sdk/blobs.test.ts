/** Blobs through the client, against the real server: sent once, stored once, fetched once, one object for siblings. */
import { expect, it } from 'vitest';
import { blob, connect, scalar } from '../../ts-sdk/index.ts';
import { BlobCache } from '../../ts-sdk/blob_cache.ts';
import { realRig } from './real.ts';
import { rejection } from './support.ts';

const real = realRig();

const fields = { image: blob(), x: scalar('int32') };
const SIBLINGS = 16;

function image(seed: number, size = 100_000): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => (at * 31 + seed) % 251);
}

it('an image of 16 siblings is one blob, and one object for all of them', async () => {
  const photos = await real.tq.partition('photos', { fields, groupSize: SIBLINGS });
  const images = [image(1), image(2)];
  const ids = Array.from({ length: 2 * SIBLINGS }, (_, id) => id);
  const given = ids.map((id) => images[Math.floor(id / SIBLINGS)]);
  await photos.put({ image: given, x: ids }, { ids });
  const stats = (await (await fetch(`${real.url}/v1/partitions/photos`)).json()) as { blobs: object };
  expect(stats.blobs).toMatchObject({ count: 2 });
  await using other = connect({ url: real.url });
  const claim = await (
    await other.partition('photos')
  ).claim({
    ...{ task: 'train', fields: ['image', 'x'], batchSize: ids.length },
  });
  if (claim.outcome !== 'rows') throw new Error(claim.outcome);
  const found = await claim.batch.blobs('image');
  expect(new Set(found).size).toBe(2);
  expect(found).toEqual(given);
  expect((await claim.batch.blobs('image'))[3]).toBe(found[0]);
  const later = await (await other.partition('photos')).get([3], { fields: ['image'] });
  expect((await later.blobs('image'))[0]).toBe(found[0]);
  await claim.batch.ack();
});

it('equal blobs of several objects are one, and an empty one is one too', async () => {
  const photos = await real.tq.partition('equal', { fields });
  const cells = [image(1, 10), image(1, 10), new Uint8Array(0)];
  await photos.put({ image: cells, x: [1, 2, 3] }, { ids: [1, 2, 3] });
  const batch = await photos.get([3, 2, 1]);
  expect(await batch.blobs('image')).toEqual([cells[2], cells[1], cells[0]]);
  // The digests can be put again as they are.
  await photos.put({ image: batch.column('image') }, { ids: [4, 5, 6] });
  await photos.put({ x: [4, 5, 6] }, { ids: [4, 5, 6] });
  expect(await (await photos.get([6])).blobs('image')).toEqual([cells[0]]);
});

it('what is no blob is refused', async () => {
  const photos = await real.tq.partition('refused', { fields });
  const put = photos.put({ image: ['text'], x: [1] }, { ids: [1] });
  expect(await rejection(put)).toMatchObject({ code: 'field_mismatch' });
  await photos.put({ image: [image(1, 3)], x: [1] }, { ids: [1] });
  const batch = await photos.get([1]);
  expect(await rejection(batch.blobs('x'))).toMatchObject({ code: 'field_mismatch' });
  const elsewhere = await real.tq.partition('elsewhere', { fields });
  const moved = elsewhere.put({ image: batch.column('image'), x: [1] }, { ids: [1] });
  expect(await rejection(moved)).toMatchObject({ code: 'blob_missing', kind: 'fix_request' });
});

it('the cache keeps what was used last', () => {
  const cache = new BlobCache(10);
  for (const name of ['a', 'b']) cache.add(name, image(1, 4));
  expect(cache.get('a')?.length).toBe(4);
  cache.add('c', image(1, 4));
  expect(['a', 'b', 'c'].map((name) => cache.get(name)?.length)).toEqual([4, undefined, 4]);
  cache.add('large', image(1, 11));
  expect(cache.get('large')).toBeUndefined();
});
