/**
 * Field layouts: what the matrices of one field look like, declared once per partition and never guessed.
 *
 *   layout   JSON on the wire                                            a cell           parts of a stored column
 *   dense    {"layout":"dense","dtype":"float32","shape":[28,28]}        [28, 28]         values
 *   scalar   {"layout":"scalar","dtype":"float32"}                       one number       values
 *   ragged   {"layout":"ragged","dtype":"int64"}                         [k], k varies    offsets, values
 *   ragged   {"layout":"ragged","dtype":"float32","shape":[null,64]}     [k, 64]          offsets, values, shapes
 *   text     {"layout":"text"}                                           UTF-8            offsets, values
 *   bytes    {"layout":"bytes"}                                          bytes            offsets, values
 *   json     {"layout":"json"}                                           JSON text        offsets, values
 *   blob     {"layout":"blob"}                                           a digest         offsets, values
 *
 * A cell of layout blob is the SHA-256 of bytes that are stored once for all cells that name them.
 *
 * Invariants: every dimension named in a shape is an integer >= 1, `null` (only in ragged) is one that varies from
 * row to row; a ragged shape has at least two dimensions and at least one null; a row's named dimensions multiply to
 * < 2^31.
 */

/** How a number is stored: the Arrow primitive type, which for bfloat16 and bool is not the dtype itself. */
export type Storage =
  | { readonly kind: 'int'; readonly bits: 8 | 16 | 32 | 64; readonly signed: boolean }
  | { readonly kind: 'float'; readonly bits: 16 | 32 | 64 };

interface DtypeEntry {
  /** Bytes of one element. */
  readonly size: number;
  readonly storage: Storage;
  /**
   * Arrow has no such type that can be sliced by bytes, so the dtype stands in the field's metadata under DTYPE_KEY.
   */
  readonly keyed: boolean;
  /** NumPy's name for the stored bytes. */
  readonly npy: string;
}

const int = (bits: 8 | 16 | 32 | 64, signed: boolean): DtypeEntry => ({
  size: bits / 8,
  storage: { kind: 'int', bits, signed },
  keyed: false,
  npy: `${bits === 8 ? '|' : '<'}${signed ? 'i' : 'u'}${bits / 8}`,
});
const float = (bits: 16 | 32 | 64): DtypeEntry => ({
  size: bits / 8,
  storage: { kind: 'float', bits },
  keyed: false,
  npy: `<f${bits / 8}`,
});

export const dtypes = {
  float16: float(16),
  float32: float(32),
  float64: float(64),
  bfloat16: { ...int(16, false), keyed: true },
  int8: int(8, true),
  int16: int(16, true),
  int32: int(32, true),
  int64: int(64, true),
  uint8: int(8, false),
  uint16: int(16, false),
  uint32: int(32, false),
  uint64: int(64, false),
  bool: { ...int(8, false), keyed: true, npy: '|b1' },
} as const satisfies Record<string, DtypeEntry>;

export type Dtype = keyof typeof dtypes;

/**
 * Key of the top-level Arrow field metadata that names a dtype which Arrow cannot (child metadata is lost by
 * pyarrow).
 */
export const DTYPE_KEY = 'tq:dtype';

export interface DenseLayout {
  readonly layout: 'dense';
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}
export interface ScalarLayout {
  readonly layout: 'scalar';
  readonly dtype: Dtype;
}
export interface RaggedLayout {
  readonly layout: 'ragged';
  readonly dtype: Dtype;
  /** Absent: one dimension, which varies. */
  readonly shape?: readonly (number | null)[];
}
/** Cells without a dtype. */
export interface PlainLayout {
  readonly layout: 'text' | 'bytes' | 'json' | 'blob';
}
export type FieldLayout = DenseLayout | ScalarLayout | RaggedLayout | PlainLayout;

export const NDIM_MAX = 16;
/** Arrow's offsets and list sizes are int32. */
export const ELEMENTS_MAX = 2 ** 31 - 1;

export function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(dtypes, value);
}

/** Product of the dimensions, those that vary left out. */
export function elementsOf(shape: readonly (number | null)[]): number {
  let product = 1;
  for (const dimension of shape) product *= dimension ?? 1;
  return product;
}

/** Checks a layout from outside. Returns a clean copy, or a sentence that says what is wrong. */
export function parseLayout(json: unknown): FieldLayout | string {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return 'a layout is a JSON object';
  const { layout, dtype, shape, ...unknown } = json as Record<string, unknown>;
  const surplus = Object.keys(unknown)[0];
  if (surplus !== undefined) return `a layout has no key ${JSON.stringify(surplus.slice(0, 64))}`;
  if (layout === 'text' || layout === 'bytes' || layout === 'json' || layout === 'blob') {
    return dtype === undefined && shape === undefined ? { layout } : `layout ${layout} takes neither dtype nor shape`;
  }
  if (layout !== 'dense' && layout !== 'ragged' && layout !== 'scalar') {
    return 'layout must be one of dense, ragged, scalar, text, bytes, json, blob';
  }
  if (!isDtype(dtype)) return `dtype must be one of ${Object.keys(dtypes).join(', ')}`;
  if (layout === 'scalar') return shape === undefined ? { layout, dtype } : 'layout scalar takes no shape';
  if (layout === 'ragged' && shape === undefined) return { layout, dtype };
  const problem = shapeProblem(shape, layout);
  if (problem !== null) return problem;
  if (layout === 'dense') return { layout, dtype, shape: [...(shape as number[])] };
  return { layout, dtype, shape: [...(shape as (number | null)[])] };
}

function shapeProblem(shape: unknown, layout: 'dense' | 'ragged'): string | null {
  const ndimMin = layout === 'dense' ? 1 : 2;
  if (!Array.isArray(shape) || shape.length < ndimMin || shape.length > NDIM_MAX) {
    return `shape of layout ${layout} must be an array of ${ndimMin} to ${NDIM_MAX} dimensions`;
  }
  for (const dimension of shape as readonly unknown[]) {
    if (dimension === null && layout === 'ragged') continue;
    if (!Number.isSafeInteger(dimension) || (dimension as number) < 1) {
      return `a dimension must be an integer >= 1${layout === 'ragged' ? ', or null where it varies' : ''}`;
    }
  }
  const dimensions = shape as readonly (number | null)[];
  if (layout === 'ragged' && !dimensions.includes(null)) return 'a shape in which nothing varies is layout dense';
  if (elementsOf(dimensions) > ELEMENTS_MAX) return 'the dimensions must multiply to less than 2^31';
  return null;
}

export function sameLayout(a: FieldLayout, b: FieldLayout): boolean {
  return a === b || describeLayout(a) === describeLayout(b);
}

/** Short form for messages: `dense float32[28,28]`, `ragged int64`, `ragged float32[*,64]`, `text`. One-to-one. */
export function describeLayout(layout: FieldLayout): string {
  switch (layout.layout) {
    case 'dense':
      return `dense ${layout.dtype}[${layout.shape.join()}]`;
    case 'ragged':
      return `ragged ${layout.dtype}${layout.shape ? `[${layout.shape.map((d) => d ?? '*').join()}]` : ''}`;
    case 'scalar':
      return `scalar ${layout.dtype}`;
    default:
      return layout.layout;
  }
}

/** Bytes of one element of the values part: 1 for text, bytes, json and blob. */
export function elementSize(layout: FieldLayout): number {
  return 'dtype' in layout ? dtypes[layout.dtype].size : 1;
}

/** Bytes of one row where every row has as many (dense, scalar), else 0. */
export function rowStride(layout: FieldLayout): number {
  if (layout.layout === 'dense') return elementsOf(layout.shape) * dtypes[layout.dtype].size;
  return layout.layout === 'scalar' ? dtypes[layout.dtype].size : 0;
}

/** Number of parts that a stored column of this layout has; see the table above. */
export function partCount(layout: FieldLayout): 1 | 2 | 3 {
  if (layout.layout === 'dense' || layout.layout === 'scalar') return 1;
  return layout.layout === 'ragged' && layout.shape !== undefined ? 3 : 2;
}
