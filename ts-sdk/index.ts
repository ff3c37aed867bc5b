/** The public names of `@transfer-queue/sdk`. What is not here may change at any time. */
export { Client, connect } from './client.ts';
export type { ConnectOptions, MatrixOptions } from './client.ts';
export { Partition } from './partition.ts';
export type { DeleteResult } from './partition_rows.ts';
export type { PartitionStats, TaskStats } from './stats.ts';
export type {
  Group,
  Pace,
  PartitionSettings,
  Retention,
  SharedBatch,
  TaskSettings,
  Tokens,
  Window,
} from './policies.ts';
export { Batch } from './batch.ts';
export { ClaimedBatch } from './claimed_batch.ts';
export type { ClaimCounts, ClaimResult } from './claim.ts';
export type { ClaimOptions } from './claim_request.ts';
export type { ConsumeOptions, Consumer } from './consume.ts';
export type { Change, Changes, WatchOptions } from './watch.ts';
export { Listing } from './listing.ts';
export type { ListOptions } from './listing.ts';
export type { TagPatches, Tags } from './tags.ts';
export type {
  DeadLettersOptions,
  HeldClaim,
  HeldField,
  HeldRow,
  HeldTask,
  LeaseStatus,
  RequeueOptions,
} from './tasks.ts';
export { keyId } from './kv.ts';
export type { KvBatchGetOptions, KvBatchPutOptions, KvGetOptions, KvListOptions, KvPutOptions } from './kv.ts';
export { Column, toNumbers } from './column.ts';
export type { Cell, Json, Matrix, Values } from './column.ts';
export type { ColumnInput, MatrixInput, Nested } from './cells.ts';
export type { Columns, Ids, PutData } from './encode.ts';
export type { PutOptions, PutResult } from './put.ts';
export type { NewestOptions, ReadOptions, ScanOptions } from './read.ts';
export type { Checkpoint, LoadCheckpointOptions, SaveCheckpointOptions } from './checkpoints.ts';
export { Snapshot } from './snapshot.ts';
export type { SnapshotOptions } from './snapshot.ts';
export type { CallOptions, WaitOptions } from './options.ts';
export type { RetryPolicy } from './retry.ts';
export { blob, bytes, dense, json, ragged, scalar, text } from './layouts.ts';
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
export type {
  AckLevel,
  ErrorCode,
  ErrorKind,
  Limits,
  ReleaseRule,
  Sampler,
  StaleRule,
} from '@transfer-queue/core/protocol';
