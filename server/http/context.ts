/** What the connections of one listener share. */
import type { SocketEvents } from '../env/socket.ts';
import type { Handler, Refusal } from './exchange.ts';
import type { HttpLimits } from './limits.ts';
import type { HeadParser } from './parser.ts';

export interface ConnectionContext {
  readonly limits: HttpLimits;
  readonly handler: Handler;
  readonly refusal: Refusal;
  readonly parser: HeadParser;
  readonly receiveBuffer: Buffer;
  readonly counts: HttpCounts;
  /** Set once: answers from now on close their connections. */
  stopping: boolean;
  closed(connection: SocketEvents): void;
}

/** Totals since the start, for metrics. */
export interface HttpCounts {
  accepted: number;
  /** Connections that the system could not hand over, mostly for want of file descriptors. */
  acceptFailures: number;
  requests: number;
  refusals: number;
  /** Connections ended because the peer was too slow or too long idle. */
  cuts: number;
  bytesReceived: number;
  bytesSent: number;
}

export function zeroCounts(): HttpCounts {
  return { accepted: 0, acceptFailures: 0, requests: 0, refusals: 0, cuts: 0, bytesReceived: 0, bytesSent: 0 };
}
