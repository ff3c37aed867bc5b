/** Every limit of the transport, as data. Times are enforced by one sweep: never early, at most 2 `sweepMs` late. */
import { limits, TAIL_SIZE } from '@transfer-queue/core/protocol';

export interface HttpLimits {
  /** Request line, header lines and the empty line after them. */
  readonly headBytesMax: number;
  readonly headFieldsMax: number;
  readonly targetBytesMax: number;
  readonly bodyBytesMax: number;
  readonly connectionsMax: number;
  /** One read of heads, shared by all connections; also what a connection can hold back of a body nobody receives. */
  readonly receiveBytes: number;
  /** Bytes kept of requests that a client sent ahead of the answer to the former; reading stops beyond it. */
  readonly pipelinedBytesMax: number;
  /** Rest of a body that is read and thrown away after an early answer; with more left the connection closes. */
  readonly drainBytesMax: number;
  /** Largest window of a streamed answer. */
  readonly windowBytesMax: number;
  /** From the first byte of a head (of the first head: from the accept) to its last. */
  readonly headMsMax: number;
  /** Between two requests. */
  readonly idleMsMax: number;
  /** A body that brings less than this on average over `bodyWindowMs` is cut. */
  readonly bodyBytesPerSecMin: number;
  readonly bodyWindowMs: number;
  /** A reader that takes less than this on average over `writeStallMs` is cut. */
  readonly readerBytesPerSecMin: number;
  readonly writeStallMs: number;
  /** How long a refused client may take to read the refusal before the connection is destroyed. */
  readonly lingerMsMax: number;
  readonly sweepMs: number;
}

export const httpLimits: HttpLimits = {
  headBytesMax: limits.headBytesMax,
  headFieldsMax: limits.headFieldsMax,
  targetBytesMax: limits.targetBytesMax,
  bodyBytesMax: limits.putBodyBytesMax + TAIL_SIZE,
  connectionsMax: limits.connectionsMax,
  receiveBytes: 65_536,
  pipelinedBytesMax: 16_384,
  drainBytesMax: 65_536,
  windowBytesMax: 4_194_304,
  headMsMax: 10_000,
  idleMsMax: 75_000,
  bodyBytesPerSecMin: 1_024,
  bodyWindowMs: 10_000,
  readerBytesPerSecMin: 1_024,
  writeStallMs: 30_000,
  lingerMsMax: 1_000,
  sweepMs: 250,
};
