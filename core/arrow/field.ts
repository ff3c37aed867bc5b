/**
 * Field layouts as Arrow fields, and back.
 *
 *   layout             Arrow type                                                   extension
 *   dense              fixed_size_list<T>[product of shape]                         arrow.fixed_shape_tensor
 *   scalar             T
 *   ragged, 1-D        list<T>
 *   ragged, n-D        struct<data: list<T>, shape: fixed_size_list<int32>[n]>      arrow.variable_shape_tensor
 *   text, json, bytes  utf8, utf8, binary                                           json: arrow.json
 *   blob               binary                                                       tq.blob
 *
 * Invariants: layoutOfArrowField(arrowFieldOfLayout(name, layout)) is `layout`; a type that is not in the table is
 * refused with what to do instead; a plain fixed_size_list<T>[k] is dense [k].
 */
import { DTYPE_KEY, dtypes, elementsOf, isDtype, NDIM_MAX, parseLayout } from '../layout.ts';
import type { Dtype, FieldLayout, Storage } from '../layout.ts';
import { refuse } from './refusal.ts';

export type ArrowType =
  | Storage
  | { readonly kind: 'utf8' | 'binary' | 'list' | 'struct' }
  | { readonly kind: 'fixed_size_list'; readonly size: number }
  /** A type that no layout uses. */
  | { readonly kind: 'other'; readonly name: string; readonly instead: string };

export interface ArrowField {
  readonly name: string;
  readonly type: ArrowType;
  readonly children: readonly ArrowField[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** How many field nodes and buffers a column has in a record batch, validity buffers and children included. */
export interface Footprint {
  readonly nodes: number;
  readonly buffers: number;
}

/** Of a column of plain numbers. */
export const flatFootprint: Footprint = { nodes: 1, buffers: 2 };

export function footprint(layout: FieldLayout): Footprint {
  switch (layout.layout) {
    case 'scalar':
      return flatFootprint;
    case 'dense':
      return { nodes: 2, buffers: 3 };
    case 'ragged':
      return layout.shape === undefined ? { nodes: 2, buffers: 4 } : { nodes: 5, buffers: 8 };
    default:
      return { nodes: 1, buffers: 3 };
  }
}

export function sumOfFootprints(all: readonly Footprint[]): Footprint {
  let nodes = 0;
  let buffers = 0;
  for (const one of all) {
    nodes += one.nodes;
    buffers += one.buffers;
  }
  return { nodes, buffers };
}

const EXTENSION_NAME = 'ARROW:extension:name';
const EXTENSION_METADATA = 'ARROW:extension:metadata';
const FIXED_SHAPE_TENSOR = 'arrow.fixed_shape_tensor';
const VARIABLE_SHAPE_TENSOR = 'arrow.variable_shape_tensor';
const JSON_EXTENSION = 'arrow.json';
const BLOB_EXTENSION = 'tq.blob';

// ---- Arrow to layout ---------------------------------------------------------------------------------------------

/** The layout of a column's field; throws `ArrowRefused` where there is none. */
export function layoutOfArrowField(field: ArrowField): FieldLayout {
  const extension = field.metadata.get(EXTENSION_NAME) ?? null;
  const metadata = field.metadata.get(EXTENSION_METADATA) ?? '';
  switch (extension) {
    case null:
      return plainLayout(field);
    case FIXED_SHAPE_TENSOR:
      if (field.type.kind !== 'fixed_size_list') return mismatched(field, extension);
      return checked(field, { layout: 'dense', dtype: elementDtype(field, field), ...tensorShape(field, metadata) });
    case VARIABLE_SHAPE_TENSOR:
      return variableShapeLayout(field, metadata);
    case JSON_EXTENSION:
      if (field.type.kind !== 'utf8') return mismatched(field, extension);
      return checked(field, { layout: 'json' });
    case BLOB_EXTENSION:
      if (field.type.kind !== 'binary') return mismatched(field, extension);
      return checked(field, { layout: 'blob' });
    default:
      return unsupported(
        field,
        `extension type ${extension.slice(0, 64)}`,
        'send its storage type without the extension',
      );
  }
}

function plainLayout(field: ArrowField): FieldLayout {
  const { type } = field;
  switch (type.kind) {
    case 'int':
    case 'float':
      return { layout: 'scalar', dtype: dtypeOf(field, type) };
    case 'fixed_size_list':
      return checked(field, { layout: 'dense', dtype: elementDtype(field, field), shape: [type.size] });
    case 'list':
      return { layout: 'ragged', dtype: elementDtype(field, field) };
    case 'utf8':
      return checked(field, { layout: 'text' });
    case 'binary':
      return checked(field, { layout: 'bytes' });
    case 'struct':
      return unsupported(field, 'struct', 'send its children as columns of their own');
    case 'other':
      return unsupported(field, type.name, type.instead);
  }
}

function variableShapeLayout(field: ArrowField, metadata: string): FieldLayout {
  const [data, shape] = field.children;
  const fits =
    field.type.kind === 'struct' &&
    field.children.length === 2 &&
    data.name === 'data' &&
    data.type.kind === 'list' &&
    shape.name === 'shape' &&
    shape.type.kind === 'fixed_size_list' &&
    isInt32(shape.children[0]);
  if (!fits || hasExtension(data) || hasExtension(shape)) return mismatched(field, VARIABLE_SHAPE_TENSOR);
  const ndim = (shape.type as { size: number }).size;
  // A schema can say any number, and a list is about to be made of so many.
  if (ndim < 0 || ndim > NDIM_MAX) {
    const column = field.name;
    return refuse('layout_invalid', `column ${column}: ${ndim} dimensions; ${NDIM_MAX} are the most`, { column });
  }
  const uniform = extensionJson(field, metadata, 'uniform_shape') ?? new Array(ndim).fill(null);
  if (!Array.isArray(uniform) || uniform.length !== ndim) {
    return refuse('layout_invalid', `column ${field.name}: uniform_shape must have ${ndim} entries`, {
      column: field.name,
    });
  }
  return checked(field, { layout: 'ragged', dtype: elementDtype(field, data), shape: uniform });
}

function tensorShape(field: ArrowField, metadata: string): { shape: unknown } {
  const shape = extensionJson(field, metadata, 'shape');
  const size = (field.type as { size: number }).size;
  if (!Array.isArray(shape) || elementsOf(shape) !== size) {
    refuse('layout_invalid', `column ${field.name}: shape does not multiply to ${size}`, { column: field.name });
  }
  return { shape };
}

/**
 * One key of the extension's JSON. Duplicate keys, escapes and the like, which JSON readers take differently, are
 * refused.
 */
function extensionJson(field: ArrowField, metadata: string, key: 'shape' | 'uniform_shape'): unknown {
  const strip = (text: string): string => text.replaceAll(/\s/g, '');
  let json: unknown;
  try {
    json = JSON.parse(metadata);
  } catch {
    json = null;
  }
  if (
    typeof json !== 'object' ||
    json === null ||
    Array.isArray(json) ||
    strip(JSON.stringify(json)) !== strip(metadata)
  ) {
    return refuse('layout_invalid', `column ${field.name}: its extension metadata is not plain JSON`, {
      column: field.name,
    });
  }
  const { permutation } = json as { permutation?: unknown };
  if (permutation !== undefined && !(Array.isArray(permutation) && permutation.every((p, i) => p === i))) {
    return unsupported(field, 'a tensor with permuted dimensions', 'send it in row-major order');
  }
  return (json as Record<string, unknown>)[key];
}

function elementDtype(field: ArrowField, list: ArrowField): Dtype {
  const [element] = list.children;
  if (list.children.length !== 1 || hasExtension(element)) {
    return unsupported(field, 'a list of an extension type', 'use plain numbers inside the list');
  }
  const { type } = element;
  if (type.kind === 'int' || type.kind === 'float') return dtypeOf(field, type);
  const inner =
    type.kind === 'other' ? type : { name: type.kind, instead: 'use arrow.variable_shape_tensor for nested sizes' };
  return unsupported(field, `a list of ${inner.name}`, inner.instead);
}

/** The dtype of numbers stored as `storage`: the one named under DTYPE_KEY, else the one of the same name. */
function dtypeOf(field: ArrowField, storage: Storage): Dtype {
  const keyed = field.metadata.get(DTYPE_KEY);
  if (keyed !== undefined) {
    if (isDtype(keyed) && sameStorage(dtypes[keyed].storage, storage)) return keyed;
    const column = field.name;
    return refuse('layout_invalid', `column ${column}: ${DTYPE_KEY} does not fit the type that stores it`, { column });
  }
  if (storage.kind === 'float') return `float${storage.bits}`;
  return `${storage.signed ? 'int' : 'uint'}${storage.bits}`;
}

function sameStorage(a: Storage, b: Storage): boolean {
  return a.bits === b.bits && (a.kind === 'int' ? b.kind === 'int' && a.signed === b.signed : b.kind === 'float');
}

function isInt32(field: ArrowField | undefined): boolean {
  return field?.type.kind === 'int' && field.type.bits === 32 && field.type.signed && !hasExtension(field);
}

function hasExtension(field: ArrowField): boolean {
  return field.metadata.has(EXTENSION_NAME);
}

function checked(field: ArrowField, json: object): FieldLayout {
  const layout = parseLayout(json);
  if (typeof layout !== 'string') return layout;
  return refuse('layout_invalid', `column ${field.name}: ${layout}`, { column: field.name });
}

function unsupported(field: ArrowField, type: string, instead: string): never {
  return refuse('type_unsupported', `column ${field.name} is ${type}: ${instead}`, {
    column: field.name,
    type,
    instead,
  });
}

function mismatched(field: ArrowField, extension: string): never {
  return unsupported(field, `${extension} over another storage type`, 'use the storage type of its specification');
}

// ---- Layout to Arrow ---------------------------------------------------------------------------------------------

const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** The Arrow field that a column of this layout is written as. */
export function arrowFieldOfLayout(name: string, layout: FieldLayout): ArrowField {
  const leaf = (type: ArrowType, metadata = NO_METADATA): ArrowField => ({ name, type, children: [], metadata });
  switch (layout.layout) {
    case 'text':
      return leaf({ kind: 'utf8' });
    case 'bytes':
      return leaf({ kind: 'binary' });
    case 'json':
      return leaf({ kind: 'utf8' }, extensionMetadata(JSON_EXTENSION, ''));
    case 'blob':
      return leaf({ kind: 'binary' }, extensionMetadata(BLOB_EXTENSION, ''));
    case 'scalar':
      return leaf(dtypes[layout.dtype].storage, new Map(dtypeMetadata(layout.dtype)));
    case 'dense': {
      const json = JSON.stringify({ shape: layout.shape });
      const metadata = extensionMetadata(FIXED_SHAPE_TENSOR, json, layout.dtype);
      return fixedSizeList(name, layout.dtype, { size: elementsOf(layout.shape), metadata });
    }
    case 'ragged': {
      const { dtype, shape } = layout;
      if (shape === undefined) return list(name, dtype, new Map(dtypeMetadata(dtype)));
      const sizes = fixedSizeList('shape', 'int32', { size: shape.length, metadata: NO_METADATA });
      const metadata = extensionMetadata(VARIABLE_SHAPE_TENSOR, JSON.stringify({ uniform_shape: shape }), dtype);
      return { name, type: { kind: 'struct' }, children: [list('data', dtype, NO_METADATA), sizes], metadata };
    }
  }
}

function item(dtype: Dtype): ArrowField {
  return { name: 'item', type: dtypes[dtype].storage, children: [], metadata: NO_METADATA };
}

function list(name: string, dtype: Dtype, metadata: ReadonlyMap<string, string>): ArrowField {
  return { name, type: { kind: 'list' }, children: [item(dtype)], metadata };
}

function fixedSizeList(
  name: string,
  dtype: Dtype,
  rest: { size: number; metadata: ReadonlyMap<string, string> },
): ArrowField {
  return { name, type: { kind: 'fixed_size_list', size: rest.size }, children: [item(dtype)], metadata: rest.metadata };
}

function dtypeMetadata(dtype: Dtype): [string, string][] {
  return dtypes[dtype].keyed ? [[DTYPE_KEY, dtype]] : [];
}

function extensionMetadata(extension: string, json: string, dtype?: Dtype): ReadonlyMap<string, string> {
  return new Map([
    [EXTENSION_NAME, extension],
    [EXTENSION_METADATA, json],
    ...(dtype === undefined ? [] : dtypeMetadata(dtype)),
  ]);
}
