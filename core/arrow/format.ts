/**
 * The numbers of Arrow's IPC format (format/Message.fbs and Schema.fbs, columnar format 1.5).
 *
 *   stream    message ... | end of stream
 *   message   i32 -1 | i32 bytes of metadata | metadata (FlatBuffer, padded to 8) | body (padded to 8)
 *   end       i32 -1 | i32 0
 */

export const CONTINUATION = -1;
export const FRAME_SIZE = 8;
export const NODE_SIZE = 16;
export const REGION_SIZE = 16;
export const VERSION_V5 = 4;

export const HeaderType = { schema: 1, dictionaryBatch: 2, recordBatch: 3 } as const;

/** Slot numbers of the tables' fields. A union takes two slots, its type first. */
export const MessageSlot = { version: 0, headerType: 1, header: 2, bodyLength: 3, metadata: 4 } as const;
export const SchemaSlot = { endianness: 0, fields: 1, metadata: 2, features: 3 } as const;
export const FieldSlot = {
  name: 0,
  nullable: 1,
  typeType: 2,
  type: 3,
  dictionary: 4,
  children: 5,
  metadata: 6,
} as const;
export const KeyValueSlot = { key: 0, value: 1 } as const;
export const IntSlot = { bits: 0, signed: 1 } as const;
export const FloatSlot = { precision: 0 } as const;
export const FixedSizeListSlot = { size: 0 } as const;
export const RecordBatchSlot = { rows: 0, nodes: 1, buffers: 2, compression: 3, variadicCounts: 4 } as const;

/** FloatingPoint.precision -> bits. */
export const floatBits = [16, 32, 64] as const;

export const TypeId = { int: 2, float: 3, binary: 4, utf8: 5, list: 12, struct: 13, fixedSizeList: 16 } as const;

const useIntegers = 'send integers, or text';
/** Types that no layout uses: name, and what to send instead. */
export const otherTypes: Readonly<Record<number, readonly [name: string, instead: string]>> = {
  1: ['null', 'leave the column out'],
  6: ['bit-packed bool', 'send uint8 with field metadata tq:dtype = bool'],
  7: ['decimal', 'send float64, integers or text'],
  8: ['date', useIntegers],
  9: ['time', useIntegers],
  10: ['timestamp', useIntegers],
  11: ['interval', useIntegers],
  14: ['union', 'send one column per alternative'],
  15: ['fixed_size_binary', 'send fixed_size_list<uint8> or binary'],
  17: ['map', 'send JSON text (extension arrow.json)'],
  18: ['duration', useIntegers],
  19: ['large_binary', 'cast it to binary and split the batch below 2 GiB a column'],
  20: ['large_utf8', 'cast it to utf8 and split the batch below 2 GiB a column'],
  21: ['large_list', 'cast it to list and split the batch below 2^31 elements a column'],
  22: ['run_end_encoded', 'decode it'],
  23: ['binary_view', 'cast it to binary'],
  24: ['utf8_view', 'cast it to utf8'],
  25: ['list_view', 'cast it to list'],
  26: ['large_list_view', 'cast it to list'],
};

export function pad8(size: number): number {
  return (8 - (size % 8)) % 8;
}
