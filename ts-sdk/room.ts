/** Calls that wait for room in the budgets of a partition: in waits of the server, one after the other. */
import { TransferQueueError } from './errors.ts';
import type { JsonObject } from './target.ts';
import type { Call, Wire } from './wire.ts';

/** Before a call that was refused in spite of its wait is sent again, in milliseconds. */
const REFUSED_PAUSE_MS = 100;

/**
 * Sends a call that is refused as a whole where there is no room, until there is some or the wait is over, on the clock
 * of the runtime. Throws `over_budget` then.
 */
export async function sendForRoom(wire: Wire, call: Call, endMs: number): Promise<JsonObject> {
  const { runtime } = wire;
  const { waitMsMax } = await wire.limits(call.signal);
  for (;;) {
    const waitMs = Math.ceil(Math.min(waitMsMax, Math.max(0, endMs - runtime.nowMs())));
    const query = waitMs > 0 ? { ...call.query, wait_ms: String(waitMs) } : call.query;
    try {
      return await wire.sendForJson({ ...call, query, waitMs });
    } catch (error) {
      if (!isOverBudget(error) || runtime.nowMs() >= endMs || neverFits(error)) throw error;
    }
    // The server did not wait to the end, where as many calls wait as it can hold.
    await runtime.sleep(Math.min(REFUSED_PAUSE_MS, Math.max(0, endMs - runtime.nowMs())), call.signal);
  }
}

function isOverBudget(error: unknown): error is TransferQueueError {
  return error instanceof TransferQueueError && error.code === 'over_budget';
}

/** Whether the call alone is larger than the whole budget; a pace lets all rows in, one day. */
function neverFits({ details: { budget, asked, limit } }: TransferQueueError): boolean {
  return budget !== 'pace' && typeof asked === 'number' && typeof limit === 'number' && asked > limit;
}
