/** Claims: take rows, end a claim, extend its lease. */
import { ClaimRequest, headers, RenewRequest } from '@transfer-queue/core/protocol';
import { endClaim, renewClaim, takeClaim } from '../../engine/claims.ts';
import { respondArrow } from '../arrow_answer.ts';
import { receiveJson, respondJson } from '../body.ts';
import { claimTake } from './claim_request.ts';
import { requestIdOf, respondWaitEnd } from './parse.ts';
import { handlersOf } from './route.ts';
import { splitTags } from './tags.ts';

export const claimHandlers = handlersOf({
  async claim(node, exchange, { partition }) {
    const body = await receiveJson(exchange, ClaimRequest);
    const { fields, tagsOf } = splitTags(node, partition, body.fields);
    const take = claimTake({ ...body, fields }, { partition, requestId: requestIdOf(exchange) });
    const outcome = await takeClaim(node, take, exchange);
    if (outcome.kind !== 'claimed') return respondWaitEnd(exchange, outcome);
    const { located, attempts, token, leaseMs, isPartial } = outcome;
    const lines = [headers.claim, token, headers.leaseMs, String(leaseMs)];
    if (isPartial) lines.push(headers.partial, '1');
    const answer = { located, attempts, tagsOf, headers: lines };
    await respondArrow(node, exchange, answer).catch(async (error: unknown) => {
      // Whoever never saw the token cannot give the rows back; those of auto_ack are consumed already, and others may
      // have been told of a part of a shared batch.
      const isOwn = !take.autoAck && take.batch === undefined;
      if (!exchange.answered && isOwn) await endClaim(node, token, 'undelivered', '');
      throw error;
    });
  },

  async ack(node, exchange, { claim }) {
    respondJson(exchange, { lsn: await endClaim(node, claim, 'ack', requestIdOf(exchange)) });
  },

  async release(node, exchange, { claim }) {
    respondJson(exchange, { lsn: await endClaim(node, claim, 'release', requestIdOf(exchange)) });
  },

  async renew(node, exchange, { claim }) {
    const body = await receiveJson(exchange, RenewRequest);
    respondJson(exchange, { lease_ms: renewClaim(node, claim, body.lease_ms) });
  },
});
