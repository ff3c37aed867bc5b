/** What the server bounds, in one place. Sizes are bytes, times are milliseconds. */

/**
 * Published at `/v1/limits`. A server with little memory lowers the size of a put and that of states; clients split by
 * what it says.
 */
export const limits = {
  putBodyBytesMax: 1 << 30,
  /** Of whole states of partitions: those of open loads, and those on their way to clients that save, together. */
  statesBytesMax: 2 ** 31,
  answerBytesMax: 1 << 30,
  jsonBodyBytesMax: 1 << 20,
  headBytesMax: 16 << 10,
  headFieldsMax: 64,
  targetBytesMax: 2 << 10,
  putRowsMax: 262_144,
  putBatchesMax: 1_024,
  columnsMax: 4_096,
  putsPerRowMax: 512,
  nestingMax: 16,
  metadataBytesMax: 1 << 20,
  readRowsMax: 32_768,
  claimRowsMax: 10_000,
  groupSizeMax: 4_096,
  partitionsMax: 10_000,
  tasksPerPartitionMax: 64,
  attemptsMax: 65_534,
  numbersPerPartitionMax: 16,
  filtersPerPartitionMax: 64,
  filterCharactersMax: 4_096,
  tagsBytesMax: 4_096,
  batchesKeptPerTask: 1_024,
  batchPartsMax: 4_096,
  listRowsMax: 10_000,
  watchChangesMax: 1_024,
  waitersMax: 20_000,
  waitMsMax: 60_000,
  snapshotsMax: 1_024,
  loadsMax: 16,
  leaseMsMin: 100,
  leaseMsMax: 3_600_000,
  requestIdsKept: 65_536,
  connectionsMax: 12_000,
} as const;
export type Limits = { readonly [K in keyof typeof limits]: number };
