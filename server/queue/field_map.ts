/**
 * Who needs which fields: found by any of the fields that a put brings.
 *
 *   byField   field -> who needs it          any   who needs no field, found by every put
 */
export interface FieldMap<Item> {
  readonly byField: Map<number, Set<Item>>;
  readonly any: Set<Item>;
}

export function createFieldMap<Item>(): FieldMap<Item> {
  return { byField: new Map(), any: new Set() };
}

export function addToFields<Item>(map: FieldMap<Item>, fields: readonly number[], item: Item): void {
  if (fields.length === 0) map.any.add(item);
  for (const field of fields) addTo(map.byField, field, item);
}

export function removeFromFields<Item>(map: FieldMap<Item>, fields: readonly number[], item: Item): void {
  if (fields.length === 0) map.any.delete(item);
  for (const field of fields) removeFrom(map.byField, field, item);
}

/** Those that an insert of these fields can concern, as a copy: serving them changes the map. */
export function inFields<Item>(map: FieldMap<Item>, fields: readonly number[]): Set<Item> {
  const items = new Set(map.any);
  for (const field of fields) for (const item of map.byField.get(field) ?? []) items.add(item);
  return items;
}

export function addTo<Key, Item>(map: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items === undefined) map.set(key, new Set([item]));
  else items.add(item);
}

export function removeFrom<Key, Item>(map: Map<Key, Set<Item>>, key: Key, item: Item): void {
  const items = map.get(key);
  if (items?.delete(item) && items.size === 0) map.delete(key);
}
