/** Snapshots: hold a state for reads, give out the state of the queues, let go of it. */
import { mediaTypes, SnapshotRequest } from '@transfer-queue/core/protocol';
import { openStateSnapshot, stateOf } from '../../engine/saving.ts';
import { headerLines } from '../answer.ts';
import { receiveJson, respondJson } from '../body.ts';
import { sourceOf } from '../parts_source.ts';
import { handlersOf } from './route.ts';

export const snapshotHandlers = handlersOf({
  async openSnapshot(node, exchange) {
    const { lease_ms: leaseMs, state } = await receiveJson(exchange, SnapshotRequest);
    const opened = state === true ? openStateSnapshot(node, leaseMs) : node.snapshots.open(leaseMs);
    respondJson(exchange, await opened);
  },

  async renewSnapshot(node, exchange, { snapshot }) {
    const { lease_ms: leaseMs } = await receiveJson(exchange, SnapshotRequest);
    respondJson(exchange, node.snapshots.renew(snapshot, leaseMs));
  },

  closeSnapshot(node, exchange, { snapshot }) {
    respondJson(exchange, node.snapshots.close(snapshot));
  },

  async snapshotState(node, exchange, { snapshot, partition }) {
    const { parts, give } = await stateOf(node, snapshot, partition);
    await exchange.stream(200, headerLines('Content-Type', mediaTypes.raw), sourceOf(parts)).finally(give);
  },
});
