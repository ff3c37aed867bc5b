/** JSON values, and how a name with dots finds one inside another. */
export type Scalar = null | boolean | number | string;
export type Json = Scalar | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Array.isArray would lose the type of the items. */
export function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

/**
 * The value of a name. A key that is the whole name wins; otherwise each dot may lead into a nested object, so that
 * both {"model.step": 3} and {"model": {"step": 3}} have a `model.step`. Own keys only, and no way into lists.
 */
export function valueAt(object: JsonObject, name: string): Json | undefined {
  if (Object.hasOwn(object, name)) return object[name];
  const dot = name.indexOf('.');
  if (dot < 0) return undefined;
  const head = name.slice(0, dot);
  const inner = Object.hasOwn(object, head) ? object[head] : undefined;
  return isObject(inner) ? valueAt(inner, name.slice(dot + 1)) : undefined;
}
