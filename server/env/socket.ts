/**
 * The network seam: what the HTTP layer asks of a TCP listener and of one accepted connection.
 *
 *   Net.listen ──accept(socket)──> SocketEvents
 *                 buffer()  ->  where the next bytes of the peer go       (asked before every read)
 *                 received()    that many bytes lie at its beginning
 *                 flushed()     every byte written so far is with the kernel
 *                 ended()       the peer will send no more
 *                 closed()      the last event; nothing may be used after it
 *
 * Invariants:
 * - Events of one socket never nest: `received` is not called while `received` runs.
 * - A buffer given by `buffer()` is written to only between that call and the next `buffer()`, `abandonBuffer()`,
 *   `destroy()` or `closed()`: its owner may reuse the memory after any of them.
 * - After `pause()` at most one read that was already under way is still delivered.
 * - `closed` is called exactly once for every accepted socket, errors included; there is no other error event.
 */
export interface SocketEvents {
  /** Where the next bytes of the peer go; never empty. May be asked again without a read in between. */
  buffer(): Uint8Array;
  /** `size` bytes lie at the beginning of `buffer`, which is what `buffer()` gave last. */
  received(buffer: Uint8Array, size: number): void;
  /** Every byte handed to `write` so far is with the kernel; called once per run of writes. */
  flushed(): void;
  /** The peer has closed its sending side. */
  ended(): void;
  /** The socket is gone, by whichever side and for whatever reason. */
  closed(): void;
}

export interface Socket {
  readonly remoteAddress: string;
  /** Stops reading. Neither bytes nor the end of the peer are noticed until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends the parts in order as one vectored write; they must not change until `flushed`. */
  write(parts: readonly Uint8Array[]): void;
  /** The common case of `write`: one part. */
  writeOne(part: Uint8Array): void;
  /** Bytes handed to `write` that the kernel has not taken yet; falls while a slow peer reads. */
  unsentBytes(): number;
  /**
   * The memory that `buffer()` gave last will not be written to any more: `buffer()` is asked again. Costs a little
   * memory until the socket closes, so it is for sockets that are about to.
   */
  abandonBuffer(): void;
  /** Sends what was written, then closes the sending side. Reading goes on. */
  finish(): void;
  /** Closes both sides at once; unsent bytes are lost. */
  destroy(): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  readonly backlog: number;
  /** `onread`: the kernel reads straight into `buffer()`; `data`: one more copy. Left out: `onread` where it works. */
  readonly socketRead?: SocketRead;
  /** One connection could not be accepted, for want of file descriptors for example; the listener goes on. */
  acceptFailed(cause: Error): void;
}

export type SocketRead = 'onread' | 'data';

export interface NetListener {
  readonly host: string;
  readonly port: number;
  readonly socketRead: SocketRead;
  /** Stops accepting; sockets that are open stay. Resolves when the port is free. */
  stopAccepting(): void;
}

export interface Net {
  listen(options: ListenOptions, accept: (socket: Socket) => SocketEvents): Promise<NetListener>;
}
