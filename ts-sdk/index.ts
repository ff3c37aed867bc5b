/** The public names of `@transfer-queue/sdk`. What is not here may change at any time. */
export { Client, connect } from './client.ts';
export type { ConnectOptions, MatrixInput, MatrixOptions } from './client.ts';
export { Partition } from './partition.ts';
export type { DeleteResult, PartitionSettings, PartitionStats, TaskStats } from './partition.ts';
export { Batch } from './batch.ts';
export { ClaimedBatch } from './claim.ts';
export type { ClaimOptions, ClaimResult } from './claim.ts';
export type { ConsumeOptions, Consumer } from './consume.ts';
export { Column, toNumbers } from './column.ts';
export type { Cell, Json, Values } from './column.ts';
export type { ColumnInput, Matrix, Nested } from './cells.ts';
export type { Columns, Ids, PutData } from './encode.ts';
export type { PutOptions, PutResult } from './put.ts';
export type { NewestOptions, ReadOptions, ScanOptions } from './read.ts';
export { Snapshot } from './snapshot.ts';
export type { SnapshotOptions } from './snapshot.ts';
export type { CallOptions, WaitOptions } from './options.ts';
export type { RetryPolicy } from './retry.ts';
export { bytes, dense, json, ragged, scalar, text } from './layouts.ts';
export {
  FixRequestError,
  GiveUpError,
  RetryLaterError,
  TransferQueueError,
  WaitForOthersError,
  clientErrors,
} from './errors.ts';
export type { AnyErrorCode, TransferQueueErrorCode } from './errors.ts';
export type { Dtype, FieldLayout } from '@transfer-queue/core/layout';
export type { AckLevel, ErrorCode, ErrorKind, Limits, Sampler } from '@transfer-queue/core/protocol';
