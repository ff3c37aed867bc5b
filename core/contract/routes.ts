/** The routes: method, path, what each does, takes and answers. */

import {
  ClaimRequest,
  DeleteRequest,
  PartitionRequest,
  PutQuery,
  ReadRequest,
  RenewRequest,
  SnapshotRequest,
} from './bodies.ts';

/** `open` routes need no token; `data` routes take or give Arrow. */
interface Route {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly does: string;
  readonly body: 'none' | 'json' | 'arrow';
  readonly schema?: unknown;
  readonly query?: unknown;
  readonly answer: string;
  readonly open?: boolean;
}

export const routes = {
  health: {
    method: 'GET',
    path: '/healthz',
    does: 'Says that the process lives.',
    body: 'none',
    answer: '200 {"status":"ok"}',
    open: true,
  },
  ready: {
    method: 'GET',
    path: '/readyz',
    does: 'Says whether recovery is done and requests are served.',
    body: 'none',
    answer: '200 {"status":"ready"} or 503 not_ready',
    open: true,
  },
  metrics: { method: 'GET', path: '/metrics', does: 'Prometheus text.', body: 'none', answer: '200 text/plain' },
  limits: {
    method: 'GET',
    path: '/v1/limits',
    does: 'The limits in force.',
    body: 'none',
    answer: '200 JSON, the names and numbers of the table below',
  },
  cluster: {
    method: 'GET',
    path: '/v1/cluster',
    does: 'The shard map: epoch, number of shards, nodes.',
    body: 'none',
    answer: '200 {"epoch","shards","nodes":[{"id","url"}]}',
  },
  damage: {
    method: 'GET',
    path: '/v1/damage',
    does: 'Lists blocks of stored bytes that are damaged, with the rows and fields that they hold.',
    body: 'none',
    answer: '200 {"damage":[...]}',
  },
  partitions: {
    method: 'GET',
    path: '/v1/partitions',
    does: 'Lists the partitions with their statistics.',
    body: 'none',
    answer: '200 {"partitions":[...]}',
  },
  partition: {
    method: 'GET',
    path: '/v1/partitions/{partition}',
    does: 'One partition: fields, settings, rows, bytes, tasks.',
    body: 'none',
    answer: '200 JSON',
  },
  declare: {
    method: 'PUT',
    path: '/v1/partitions/{partition}',
    does: 'Creates the partition, or adds fields to it; the same declaration again changes nothing.',
    body: 'json',
    schema: PartitionRequest,
    answer: '200 the partition, with "created"',
  },
  drop: {
    method: 'DELETE',
    path: '/v1/partitions/{partition}',
    does: 'Drops the partition with all its rows and claims.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  seal: {
    method: 'POST',
    path: '/v1/partitions/{partition}:seal',
    does: 'Says that no more rows come; rows that are there may still get fields.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  put: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows',
    does: 'Puts a batch: all of it or nothing.',
    body: 'arrow',
    query: PutQuery,
    answer: '200 {"lsn","rows","ack"}',
  },
  read: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows:read',
    does: 'Reads rows by ids (in the order asked), by range, or the newest one; may wait until they are there.',
    body: 'json',
    schema: ReadRequest,
    answer: '200 Arrow, or 200 JSON counts when the wait timed out or the partition drained',
  },
  delete: {
    method: 'POST',
    path: '/v1/partitions/{partition}/rows:delete',
    does: 'Deletes rows; ids that are not there are passed over.',
    body: 'json',
    schema: DeleteRequest,
    answer: '200 {"lsn","deleted"}',
  },
  row: {
    method: 'GET',
    path: '/v1/partitions/{partition}/rows/{id}',
    does: 'What is known of one row: fields with LSN and bytes, and where each task stands.',
    body: 'none',
    answer: '200 JSON',
  },
  cell: {
    method: 'GET',
    path: '/v1/partitions/{partition}/rows/{id}/{field}',
    does: 'One cell as Arrow, as .npy (Accept: application/x-npy) or bare (Accept: application/octet-stream).',
    body: 'none',
    answer: '200 in the media type asked for',
  },
  claim: {
    method: 'POST',
    path: '/v1/partitions/{partition}/claims',
    does: 'Takes ready rows for a task under a lease, with their data.',
    body: 'json',
    schema: ClaimRequest,
    answer: '200 Arrow with tq-claim, or 200 JSON counts when the wait timed out or the task drained',
  },
  ack: {
    method: 'POST',
    path: '/v1/claims/{claim}:ack',
    does: 'Ends a claim: its rows are consumed for the task.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  release: {
    method: 'POST',
    path: '/v1/claims/{claim}:release',
    does: 'Gives the rows of a claim back.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
  renew: {
    method: 'POST',
    path: '/v1/claims/{claim}:renew',
    does: 'Extends the lease: it now ends lease_ms from now.',
    body: 'json',
    schema: RenewRequest,
    answer: '200 {"lease_ms"}',
  },
  openSnapshot: {
    method: 'POST',
    path: '/v1/snapshots',
    does: 'Holds the state of now for reads that name its LSN, until the lease ends.',
    body: 'json',
    schema: SnapshotRequest,
    answer: '200 {"snapshot","lsn","lease_ms"}',
  },
  renewSnapshot: {
    method: 'POST',
    path: '/v1/snapshots/{snapshot}:renew',
    does: 'Extends the lease of a snapshot: it now ends lease_ms from now.',
    body: 'json',
    schema: SnapshotRequest,
    answer: '200 {"lsn","lease_ms"}',
  },
  closeSnapshot: {
    method: 'POST',
    path: '/v1/snapshots/{snapshot}:close',
    does: 'Lets go of a snapshot.',
    body: 'none',
    answer: '200 {"lsn"}',
  },
} as const satisfies Record<string, Route>;
export type RouteName = keyof typeof routes;
