/**
 * Writes FlatBuffers top down: a table, then what it points at, so that every offset points forward (see
 * flatbuffer.ts).
 *
 * Invariants: tables start at multiples of 8, so fields are aligned whatever their size; the result is deterministic.
 */

export type Slot =
  | { readonly kind: 'u8' | 'i16' | 'i32'; readonly value: number }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'table'; readonly slots: TableData }
  | { readonly kind: 'tables'; readonly tables: readonly TableData[] };

/** The fields of a table by slot number; null is absent. */
export type TableData = readonly (Slot | null)[];

const widths = { u8: 1, i16: 2, i32: 4, string: 4, table: 4, tables: 4 } as const;
const utf8 = new TextEncoder();

/** The buffer whose root is this table. */
export function buildFlatbuffer(root: TableData): Uint8Array {
  const builder = new Builder();
  const at = builder.allocate(4, 4);
  builder.point(at, builder.table(root));
  return builder.finish();
}

class Builder {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;

  allocate(size: number, align: number): number {
    const at = Math.ceil(this.#size / align) * align;
    this.#size = at + size;
    if (this.#size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#size, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  /** Makes the offset stored at `at` lead to `target`. */
  point(at: number, target: number): void {
    this.#view.setUint32(at, target - at, true);
  }

  table(slots: TableData): number {
    const places: number[] = [];
    let size = 4;
    for (const slot of slots) {
      if (slot === null) {
        places.push(0);
        continue;
      }
      const width = widths[slot.kind];
      size = Math.ceil(size / width) * width;
      places.push(size);
      size += width;
    }
    const vtableSize = 4 + 2 * slots.length;
    const vtable = this.allocate(vtableSize, 2);
    const at = this.allocate(size, 8);
    this.#view.setUint16(vtable, vtableSize, true);
    this.#view.setUint16(vtable + 2, size, true);
    this.#view.setInt32(at, at - vtable, true);
    places.forEach((place, i) => this.#view.setUint16(vtable + 4 + 2 * i, place, true));
    slots.forEach((slot, i) => {
      if (slot !== null) this.#fill(at + places[i], slot);
    });
    return at;
  }

  #fill(at: number, slot: Slot): void {
    switch (slot.kind) {
      case 'u8':
        return this.#view.setUint8(at, slot.value);
      case 'i16':
        return this.#view.setInt16(at, slot.value, true);
      case 'i32':
        return this.#view.setInt32(at, slot.value, true);
      case 'string':
        return this.point(at, this.#string(slot.text));
      case 'table':
        return this.point(at, this.table(slot.slots));
      case 'tables':
        return this.point(at, this.#tables(slot.tables));
    }
  }

  #string(text: string): number {
    const encoded = utf8.encode(text);
    const at = this.allocate(4 + encoded.length + 1, 4);
    this.#view.setUint32(at, encoded.length, true);
    this.#bytes.set(encoded, at + 4);
    return at;
  }

  #tables(tables: readonly TableData[]): number {
    const at = this.allocate(4 + 4 * tables.length, 4);
    this.#view.setUint32(at, tables.length, true);
    tables.forEach((table, i) => this.point(at + 4 + 4 * i, this.table(table)));
    return at;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#size);
  }
}
