/** The JSON bodies and query parameters of requests, as JSON Schemas. */

import { Type, type Static } from 'typebox';
import { limits } from './limits.ts';
import {
  ackLevels,
  BLOB_DIGEST_PATTERN,
  ID_END,
  NAME_PATTERN,
  releaseRules,
  samplers,
  staleRules,
  TAG_NAME_PATTERN,
} from './words.ts';

const closed = { additionalProperties: false } as const;
const name = Type.String({ pattern: NAME_PATTERN });
const id = Type.Integer({ minimum: 0, exclusiveMaximum: ID_END });
const waitMs = Type.Integer({ minimum: 0, maximum: limits.waitMsMax });
const leaseMs = Type.Integer({ minimum: limits.leaseMsMin, maximum: limits.leaseMsMax });
const number = Type.String({ pattern: TAG_NAME_PATTERN });
const version = Type.Integer({ minimum: 0, exclusiveMaximum: ID_END });
const count = Type.Integer({ minimum: 1, exclusiveMaximum: ID_END });
const tags = Type.Record(Type.String(), Type.Unknown());
const where = Type.String({ maxLength: limits.filterCharactersMax, description: 'A filter over tags and numbers.' });
const fieldNames = Type.Array(name, { minItems: 1, maxItems: limits.columnsMax, uniqueItems: true });

/** A field layout; core/layout.ts checks the finer rules. */
export const FieldLayoutJson = Type.Object(
  {
    layout: Type.String(),
    dtype: Type.Optional(Type.String()),
    shape: Type.Optional(Type.Array(Type.Union([Type.Integer(), Type.Null()]))),
  },
  closed,
);

export const PartitionRequest = Type.Object(
  {
    fields: Type.Optional(Type.Record(Type.String(), FieldLayoutJson)),
    open: Type.Optional(
      Type.Boolean({ description: 'The first put of a field declares it. Default: true without fields.' }),
    ),
    group_size: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.groupSizeMax, description: 'Rows of one prompt. Default 1.' }),
    ),
    ack: Type.Optional(
      Type.Union(
        ackLevels.map((level) => Type.Literal(level)),
        { description: 'Default os.' },
      ),
    ),
    tasks: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object(
          { max_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.attemptsMax })) },
          { ...closed, description: 'After so many attempts a row is a dead letter of the task. Default: no end.' },
        ),
        { description: 'Tasks that consume each row; others may come, and are not waited for.' },
      ),
    ),
    release: Type.Optional(
      Type.Union(
        releaseRules.map((rule) => Type.Literal(rule)),
        { description: 'consumed deletes rows that every declared task consumed. Default never.' },
      ),
    ),
    numbers: Type.Optional(
      Type.Array(number, {
        maxItems: limits.numbersPerPartitionMax,
        uniqueItems: true,
        description: 'Tags that are numbers, which samplers order and cut by.',
      }),
    ),
    rows_max: Type.Optional(Type.Union([count, Type.Null()], { description: 'Budget of rows; null for none.' })),
    bytes_max: Type.Optional(Type.Union([count, Type.Null()], { description: 'Budget of bytes; null for none.' })),
    pace: Type.Optional(
      Type.Union(
        [
          Type.Object({ rows_per_version: count, max_ahead: Type.Integer({ minimum: 0, maximum: 1_000_000 }) }, closed),
          Type.Null(),
        ],
        { description: 'Admits (version + max_ahead + 1) x rows_per_version rows in all; null for no pace.' },
      ),
    ),
    retention: Type.Optional(
      Type.Union(
        [Type.Object({ rows_max: Type.Optional(count), age_ms_max: Type.Optional(count) }, closed), Type.Null()],
        { description: 'Evicts the oldest rows that every declared task consumed; null for none.' },
      ),
    ),
  },
  closed,
);

export const ReadRequest = Type.Object(
  {
    ids: Type.Optional(Type.Array(id, { maxItems: limits.readRowsMax })),
    range: Type.Optional(
      Type.Object(
        {
          start: id,
          end: Type.Integer({ minimum: 0, maximum: ID_END }),
          rows_max: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.readRowsMax })),
        },
        closed,
      ),
    ),
    newest: Type.Optional(Type.Object({ after_lsn: Type.Optional(id) }, closed)),
    fields: Type.Optional(fieldNames),
    wait_ms: Type.Optional(waitMs),
    lsn: Type.Optional(
      Type.Integer({
        minimum: 0,
        exclusiveMaximum: ID_END,
        description: 'The state to read, which a snapshot holds; not with newest or a wait.',
      }),
    ),
  },
  closed,
);

export const SnapshotRequest = Type.Object(
  {
    lease_ms: leaseMs,
    state: Type.Optional(Type.Boolean({ description: 'Hold what checkpoints of users need. Default false.' })),
  },
  closed,
);

export const LoadRequest = Type.Object({ lease_ms: leaseMs }, closed);

export const CommitLoadRequest = Type.Object(
  { replace: Type.Optional(Type.Boolean({ description: 'Drop partitions of the same names. Default false.' })) },
  closed,
);

export const DeleteRequest = Type.Object({ ids: Type.Array(id, { maxItems: limits.readRowsMax }) }, closed);

export const ClaimRequest = Type.Object(
  {
    task: name,
    fields: fieldNames,
    rows_max: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.claimRowsMax, description: 'Needed without ids.' }),
    ),
    rows_min: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.claimRowsMax, description: 'Default rows_max.' }),
    ),
    ids: Type.Optional(
      Type.Array(id, {
        minItems: 1,
        maxItems: limits.claimRowsMax,
        description: 'Those of exactly these rows that are ready; instead of rows_max and a sampler.',
      }),
    ),
    sampler: Type.Optional(
      Type.String({ pattern: NAME_PATTERN, description: `${samplers.join(', ')} or a module's. Default fifo.` }),
    ),
    by: Type.Optional(
      Type.String({ pattern: TAG_NAME_PATTERN, description: 'The number of priority (default) or weight (default).' }),
    ),
    seed: Type.Optional(Type.Integer({ minimum: 0, exclusiveMaximum: ID_END, description: 'Of weighted. Default 0.' })),
    where: Type.Optional(where),
    tokens: Type.Optional(
      Type.Object(
        { max: count, by: Type.Optional(number) },
        { ...closed, description: 'As many rows as have so many tokens, by their number length.' },
      ),
    ),
    window: Type.Optional(
      Type.Object(
        {
          by: Type.Optional(number),
          min_version: Type.Optional(version),
          max_staleness: Type.Optional(version),
          on_stale: Type.Optional(Type.Union(staleRules.map((rule) => Type.Literal(rule)))),
        },
        { ...closed, description: 'Rows of version >= max(min_version, current - max_staleness) only.' },
      ),
    ),
    group: Type.Optional(
      Type.Object(
        {
          by: Type.Optional(number),
          survivors_min: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.groupSizeMax })),
          wait_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: limits.leaseMsMax })),
        },
        { ...closed, description: 'For the sampler group: rows of the same number; smaller groups after a wait.' },
      ),
    ),
    batch: Type.Optional(
      Type.Object(
        {
          name,
          number: version,
          part: Type.Optional(Type.Integer({ minimum: 0, maximum: limits.batchPartsMax - 1 })),
          parts: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.batchPartsMax })),
          balance_by: Type.Optional(number),
        },
        { ...closed, description: 'All who ask for this part of this batch get the same answer.' },
      ),
    ),
    partial: Type.Optional(Type.Boolean({ description: 'Fewer rows than rows_min at the time-out. Default false.' })),
    linger_ms: Type.Optional(
      Type.Integer({ minimum: 0, maximum: limits.waitMsMax, description: 'Fewer than rows_min after so long.' }),
    ),
    wait_ms: Type.Optional(waitMs),
    lease_ms: Type.Optional(leaseMs),
    auto_ack: Type.Optional(Type.Boolean({ description: 'Consume the rows when they are granted. Default false.' })),
  },
  closed,
);

export const RenewRequest = Type.Object({ lease_ms: leaseMs }, closed);

export const TagRequest = Type.Object(
  {
    ids: Type.Array(id, { minItems: 1, maxItems: limits.listRowsMax }),
    tags: Type.Union([tags, Type.Array(tags, { maxItems: limits.listRowsMax })], {
      description: 'One JSON object for all rows, or one for each; merged as by RFC 7396.',
    }),
  },
  closed,
);

export const ListRequest = Type.Object(
  {
    ids: Type.Optional(Type.Array(id, { maxItems: limits.listRowsMax })),
    where: Type.Optional(where),
    ready: Type.Optional(
      Type.Object({ task: name, fields: fieldNames }, { ...closed, description: 'Rows that the task could claim.' }),
    ),
    after: Type.Optional(
      Type.Integer({ minimum: 0, exclusiveMaximum: ID_END, description: 'next of the page before.' }),
    ),
    rows_max: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.listRowsMax })),
  },
  closed,
);

export const BlobsRequest = Type.Object(
  { digests: Type.Array(Type.String({ pattern: BLOB_DIGEST_PATTERN }), { maxItems: limits.listRowsMax }) },
  closed,
);

export const BlobQuery = Type.Object(
  { wait_ms: Type.Optional(Type.String({ description: 'How long to wait for room in the budget of the node.' })) },
  closed,
);

export const RequeueRequest = Type.Object(
  {
    ids: Type.Optional(Type.Array(id, { maxItems: limits.listRowsMax, description: 'Default: all dead letters.' })),
  },
  closed,
);

export const AdvanceRequest = Type.Object({ version }, closed);

export const DeadLettersQuery = Type.Object(
  {
    after: Type.Optional(Type.String({ description: 'next of the page before.' })),
    rows_max: Type.Optional(Type.String({ description: 'Default 1,024.' })),
  },
  closed,
);

export const WatchQuery = Type.Object(
  {
    after_lsn: Type.Optional(Type.String({ description: 'lsn of the answer before. Default: from now on.' })),
    wait_ms: Type.Optional(Type.String({ description: 'How long to wait for a change. Default 0.' })),
    changes_max: Type.Optional(Type.String({ description: 'Those of one LSN stay together. Default 1,024.' })),
  },
  closed,
);

export const PutQuery = Type.Object(
  {
    ack: Type.Optional(Type.String({ description: 'A stronger ack level for this put: os or disk.' })),
    if_absent: Type.Optional(Type.String({ description: '1 refuses the put when any of its cells is there.' })),
    claim: Type.Optional(Type.String({ description: 'A claim that this put acks, as one event.' })),
    wait_ms: Type.Optional(Type.String({ description: 'How long to wait for room in a budget. Default 0.' })),
  },
  closed,
);

export type PartitionRequest = Static<typeof PartitionRequest>;
export type ReadRequest = Static<typeof ReadRequest>;
export type SnapshotRequest = Static<typeof SnapshotRequest>;
export type DeleteRequest = Static<typeof DeleteRequest>;
export type ClaimRequest = Static<typeof ClaimRequest>;
export type RenewRequest = Static<typeof RenewRequest>;
export type TagRequest = Static<typeof TagRequest>;
export type ListRequest = Static<typeof ListRequest>;
export type RequeueRequest = Static<typeof RequeueRequest>;
export type AdvanceRequest = Static<typeof AdvanceRequest>;
