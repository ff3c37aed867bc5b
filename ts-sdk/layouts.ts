/**
 * Field layouts, written short: `dense('float32', [28, 28])`, `ragged('int64')`, `text()`.
 *
 * They are plain data, the same as on the wire, so an object such as `{ layout: 'text' }` serves as well.
 */
import { parseLayout, type Dtype, type FieldLayout } from '@transfer-queue/core/layout';
import { catalogueError } from './errors.ts';

/** Every cell has this one shape. `dense('float32', [28, 28])` */
export function dense(dtype: Dtype, shape: readonly number[]): FieldLayout {
  return checkedLayout({ layout: 'dense', dtype, shape });
}

/** Cells have one dimension, which varies; or a shape in which `null` varies. `ragged('float32', [null, 64])` */
export function ragged(dtype: Dtype, shape?: readonly (number | null)[]): FieldLayout {
  return checkedLayout(shape === undefined ? { layout: 'ragged', dtype } : { layout: 'ragged', dtype, shape });
}

/** Every cell is one number. `scalar('float32')` */
export function scalar(dtype: Dtype): FieldLayout {
  return checkedLayout({ layout: 'scalar', dtype });
}

/** Every cell is a string. */
export function text(): FieldLayout {
  return { layout: 'text' };
}

/** Every cell is a string of bytes. */
export function bytes(): FieldLayout {
  return { layout: 'bytes' };
}

/** Every cell is a JSON value. */
export function json(): FieldLayout {
  return { layout: 'json' };
}

/**
 * Every cell is a string of bytes that many rows may share, as the image of a prompt with 16 generations: it is sent
 * and stored once, and rows hold its SHA-256. `Batch.blobs` gives the bytes.
 */
export function blob(): FieldLayout {
  return { layout: 'blob' };
}

/** Throws `layout_invalid` with what is wrong. */
export function checkedLayout(value: unknown): FieldLayout {
  const layout = parseLayout(value);
  if (typeof layout === 'string') throw catalogueError('layout_invalid', `The field layout is not valid: ${layout}.`);
  return layout;
}
