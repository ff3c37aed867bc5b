/** What each route of core/protocol.ts does. None of the handlers touches state but through the engine. */
import { blobHandlers } from './blobs.ts';
import { claimHandlers } from './claims.ts';
import { loadHandlers } from './loads.ts';
import { partitionHandlers } from './partitions.ts';
import type { NodeHandler, NodeRoute } from './route.ts';
import { rowHandlers } from './rows.ts';
import { snapshotHandlers } from './snapshots.ts';
import { tagHandlers } from './tags.ts';
import { taskHandlers } from './tasks.ts';
import { watchHandlers } from './watch.ts';

export type { NodeHandler, NodeRoute } from './route.ts';

export const nodeHandlers: { readonly [Name in NodeRoute]: NodeHandler } = {
  ...partitionHandlers,
  ...rowHandlers,
  ...tagHandlers,
  ...blobHandlers,
  ...claimHandlers,
  ...snapshotHandlers,
  ...loadHandlers,
  ...taskHandlers,
  ...watchHandlers,
};
