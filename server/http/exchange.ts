/**
 * The types between the connection layer and the routes: one exchange is one request and its one answer.
 *
 *   connection ──handler(exchange)──> route
 *      head        method, path, query and the few headers that the server reads; complete and valid
 *      receive     asks for the body; nothing of it is read before (and no 100 Continue is sent)
 *      respond     a small answer, one write
 *      stream      a large answer, window by window
 *
 * Invariants: every exchange gets exactly one answer, `respond` or `stream`; a second one is a bug and throws. An
 * answer may come before the body was received: what is left of the body is then discarded, or the connection closed
 * when that would be too much; the route need not care. Exactly one of `end` and `abort` is called for every sink that
 * was given to `receive`, and afterwards the connection never touches the sink's memory again. `release` of a window is
 * called exactly once, when its bytes are with the kernel or the connection is gone.
 */
import type { ErrorCode } from '@transfer-queue/core/protocol';
import type { HeaderLines } from './answer.ts';
import type { RequestHead } from './head.ts';

export type { HeaderLines } from './answer.ts';
export type { Method, RequestHead } from './head.ts';

/** Why a body ended early. */
export type AbortReason = 'client_closed' | 'too_slow' | 'answered' | 'stopping';

/** Where a request body goes. Its methods may be called before `receive` returns. */
export interface BodySink {
  /**
   * Memory for the next bytes; the connection reads straight into it. An empty view says "no room now": reading stops
   * until `exchange.resumeBody()`. May be asked again without `wrote` in between. Never asked once all bytes are there.
   */
  next(): Uint8Array;
  /** `size` more bytes lie at the beginning of what `next` gave. */
  wrote(size: number): void;
  /** All `head.contentLength` bytes are there. */
  end(): void;
  /** The rest will never come. */
  abort(reason: AbortReason): void;
}

/** A slice of a large answer: sent as one vectored write. */
export interface AnswerWindow {
  readonly parts: readonly Uint8Array[];
  release(): void;
}

/** A large answer of a size known in advance. */
export interface AnswerSource {
  readonly size: number;
  /**
   * The next window, of 1 byte to `limits.windowBytesMax`. Called until `size` bytes were given, each time after
   * the former window was flushed. A rejection cuts the connection, so that the client cannot take half for all.
   */
  next(): AnswerWindow | Promise<AnswerWindow>;
}

export interface Exchange {
  readonly head: RequestHead;
  readonly remoteAddress: string;
  /** The client is gone; an answer would go nowhere (and is silently dropped). */
  readonly closed: boolean;
  /** `respond` or `stream` was called. */
  readonly answered: boolean;
  /** Takes the body (sends 100 Continue where asked for). At most once; may be called at any later time. */
  receive(sink: BodySink): void;
  /** There is room again after `next` gave an empty view. */
  resumeBody(): void;
  /**
   * The whole answer at once. A body of more than COPIED_SIZE_MAX bytes must not change afterwards. HEAD gets the
   * headers only.
   */
  respond(status: number, headers: HeaderLines, body?: Uint8Array | readonly Uint8Array[]): void;
  /** `sent`: all bytes are with the kernel; `closed`: the client went away. Rejects as `source.next` did. */
  stream(status: number, headers: HeaderLines, source: AnswerSource): Promise<'sent' | 'closed'>;
  /** Called once if the client goes away before the answer is sent; at once if it is gone already. */
  onClose(gone: () => void): void;
}

export type Handler = (exchange: Exchange) => void;

/** Errors that the connection layer finds by itself. */
export type TransportCode = Extract<
  ErrorCode,
  | 'http_malformed'
  | 'target_invalid'
  | 'target_too_long'
  | 'head_too_large'
  | 'method_unknown'
  | 'version_unsupported'
  | 'length_required'
  | 'transfer_encoding_refused'
  | 'body_unexpected'
  | 'body_too_large'
  | 'expectation_failed'
  | 'too_many_connections'
  | 'request_timeout'
>;

/** Makes the JSON body `{code, kind, message, details}` of an error answer. */
export type Refusal = (
  code: TransportCode,
  details: Readonly<Record<string, string | number>>,
) => { readonly status: number; readonly body: Uint8Array };
