/** The door of this folder: what the server, the SDK and the tests may use of Arrow IPC. */
export { walkStream } from './walk.ts';
export type { WalkOptions, WalkedStream } from './walk.ts';
export type { WalkedBatch, WalkedColumn } from './batch.ts';
export { SchemaCache } from './schema.ts';
export type { NamedLayout } from './schema.ts';
export type { ArrowRefusal, ArrowRefusalCode } from './refusal.ts';
export { arrowFieldOfLayout, layoutOfArrowField } from './field.ts';
export type { ArrowField, ArrowType } from './field.ts';
export { isUtf8 } from './utf8.ts';
export { EOS, batchMessage, schemaMessage } from './message.ts';
export { GENERATED, PieceList } from './pieces.ts';
export type { PieceMark } from './pieces.ts';
export { composeBatch } from './compose.ts';
export type { ColumnSource, ComposedBatch, GatheredColumn, OutputColumn } from './compose.ts';
export type { GeneratedColumn } from './body.ts';
export { encodeBatch } from './encode.ts';
export type { EncodedColumn } from './encode.ts';
export { npyHeader } from './npy.ts';
