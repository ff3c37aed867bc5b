/** The JSON bodies and query parameters of requests, as JSON Schemas. */

import { Type, type Static } from 'typebox';
import { limits } from './limits.ts';
import { ackLevels, ID_END, NAME_PATTERN, samplers } from './words.ts';

const closed = { additionalProperties: false } as const;
const name = Type.String({ pattern: NAME_PATTERN });
const id = Type.Integer({ minimum: 0, exclusiveMaximum: ID_END });
const waitMs = Type.Integer({ minimum: 0, maximum: limits.waitMsMax });
const leaseMs = Type.Integer({ minimum: limits.leaseMsMin, maximum: limits.leaseMsMax });
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

export const SnapshotRequest = Type.Object({ lease_ms: leaseMs }, closed);

export const DeleteRequest = Type.Object({ ids: Type.Array(id, { maxItems: limits.readRowsMax }) }, closed);

export const ClaimRequest = Type.Object(
  {
    task: name,
    fields: fieldNames,
    rows_max: Type.Integer({ minimum: 1, maximum: limits.claimRowsMax }),
    rows_min: Type.Optional(
      Type.Integer({ minimum: 1, maximum: limits.claimRowsMax, description: 'Default rows_max.' }),
    ),
    sampler: Type.Optional(
      Type.Union(
        samplers.map((sampler) => Type.Literal(sampler)),
        { description: 'Default fifo.' },
      ),
    ),
    wait_ms: Type.Optional(waitMs),
    lease_ms: Type.Optional(leaseMs),
    auto_ack: Type.Optional(Type.Boolean({ description: 'Consume the rows when they are granted. Default false.' })),
  },
  closed,
);

export const RenewRequest = Type.Object({ lease_ms: leaseMs }, closed);

export const PutQuery = Type.Object(
  {
    ack: Type.Optional(Type.String({ description: 'A stronger ack level for this put: os or disk.' })),
    if_absent: Type.Optional(Type.String({ description: '1 refuses the put when any of its cells is there.' })),
    claim: Type.Optional(Type.String({ description: 'A claim that this put acks, as one event.' })),
  },
  closed,
);

export type PartitionRequest = Static<typeof PartitionRequest>;
export type ReadRequest = Static<typeof ReadRequest>;
export type SnapshotRequest = Static<typeof SnapshotRequest>;
export type DeleteRequest = Static<typeof DeleteRequest>;
export type ClaimRequest = Static<typeof ClaimRequest>;
export type RenewRequest = Static<typeof RenewRequest>;
