/**
 * One connection: bytes of a socket in, exchanges out, one after the other.
 *
 *   head ──head complete──> exchange ──answer sent, body used up──> head
 *     │ bad head, too slow      │ answer sent, connection closes
 *     └─────────> linger <──────┘                        any phase ──socket gone──> closed
 *
 *   head      waits for a request: idle between two, or in the middle of a head
 *   exchange  the route works; its body is held back (not read), received, or discarded after an early answer
 *   linger    the last answer is out, the sending side closed; what comes in is discarded, so that the kernel does not
 *             answer unread bytes with a reset that would destroy the last answer under way
 *
 * Invariants: at most one exchange is open, so pipelined requests are answered in order; a refused head is the last
 * thing that is parsed; the memory of a sink is never a read target after its `end` or `abort`; no clock is read on the
 * way of a request, the sweep alone tells the time.
 */
import type { Socket, SocketEvents } from '../env/socket.ts';
import { answerHead, continueAnswer, jsonHeaders, writeAnswer } from './answer.ts';
import type { ConnectionContext } from './context.ts';
import type { AbortReason, BodySink, TransportCode } from './exchange.ts';
import { Char } from './grammar.ts';
import { Input } from './input.ts';
import { RateMeter } from './meter.ts';
import { OpenExchange, type ExchangeOwner } from './open_exchange.ts';
import { ParseOutcome } from './parser.ts';

type Phase = 'head' | 'exchange' | 'linger' | 'closed';

export class Connection implements SocketEvents, ExchangeOwner {
  readonly socket: Socket;
  readonly windowBytesMax: number;
  readonly #context: ConnectionContext;
  readonly #input = new Input();
  #phase: Phase = 'head';
  /** Rises with each change that begins a new span of time; see `sweep`. */
  #spanCount = 0;
  #sweptSpan = -1;
  #spanSinceMs = 0;
  #exchange: OpenExchange | undefined;
  #requestCount = 0;
  /** Bytes of the input that were parsed before and are not a whole head. */
  #parsedSize = 0;
  #bodyLeft = 0;
  #sink: BodySink | undefined;
  /** Where the socket may put bytes of the body directly; asked from the sink when the input ran empty. */
  #view: Uint8Array | undefined;
  /** The sink has no room. */
  #held = false;
  #continued = false;
  #closeAfter = false;
  #peerEnded = false;
  #isReading = true;
  #pumping = false;
  #abortReason: AbortReason = 'client_closed';
  #receivedSize = 0;
  #sentSize = 0;
  #bodyMeter: RateMeter | undefined;
  #answerMeter: RateMeter | undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    this.socket = socket;
    this.#context = context;
    this.windowBytesMax = context.limits.windowBytesMax;
  }

  // ---- Events of the socket ----------------------------------------------------------------------------------------

  buffer(): Uint8Array {
    return this.#view ?? this.#context.receiveBuffer;
  }

  received(buffer: Uint8Array, size: number): void {
    this.#receivedSize += size;
    this.#context.counts.bytesReceived += size;
    if (this.#phase === 'linger' || this.#phase === 'closed') return;
    if (buffer === this.#context.receiveBuffer) this.#input.add(this.#context.receiveBuffer, size);
    else this.#took(size);
    const wasBetween = this.#phase === 'head' && this.#parsedSize === 0 && this.#requestCount > 0;
    this.#pump();
    this.#input.keep();
    if (wasBetween && this.#phase === 'head' && this.#parsedSize > 0) this.#spanCount++;
  }

  flushed(): void {
    if (this.#phase === 'exchange') this.#exchange?.flushed();
    else if (this.#phase === 'linger' && this.#peerEnded) this.destroy();
  }

  ended(): void {
    this.#peerEnded = true;
    if (this.#phase === 'exchange') {
      // A client that is gone and one that only stopped sending look alike; a parked wait must not outlive the former.
      if (this.#exchange?.answered !== true) return this.destroy();
      this.#closeAfter ||= this.#bodyLeft > 0;
      this.#pump();
    } else if (this.#phase === 'head' || this.socket.unsentBytes() === 0) this.destroy();
  }

  closed(): void {
    this.#phase = 'closed';
    this.#input.clear();
    this.#dropSink(this.#abortReason);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.lose();
    this.#context.closed(this);
  }

  // ---- What exchanges ask ------------------------------------------------------------------------------------------

  isOpen(): boolean {
    return this.#phase === 'exchange';
  }

  receiveBody(sink: BodySink): void {
    this.#sink = sink;
    const { head } = this.#exchange as OpenExchange;
    if (head.expectContinue && this.#bodyLeft > 0 && this.#input.size === 0) {
      this.#continued = true;
      this.countSent(continueAnswer.length);
      this.socket.writeOne(continueAnswer);
    }
    this.#pump();
  }

  resumeBody(): void {
    this.#held = false;
    this.#pump();
  }

  beginAnswer(): boolean {
    const { head } = this.#exchange as OpenExchange;
    const left = this.#bodyLeft;
    // Refused before 100 Continue, a client may send the body or not: nobody can tell what the next byte means.
    const isDoubtful = left > 0 && head.expectContinue && !this.#continued && left === head.contentLength;
    const { limits, stopping } = this.#context;
    this.#closeAfter = !head.keepAlive || stopping || isDoubtful || left > limits.drainBytesMax;
    // A change of read targets is for the last moments of a socket only: see `abandonBuffer`.
    this.#closeAfter ||= this.#view !== undefined;
    this.#dropSink('answered');
    return this.#closeAfter;
  }

  endAnswer(): void {
    this.#closeAfter ||= this.#context.stopping;
    this.#pump();
  }

  countSent(size: number): void {
    this.#sentSize += size;
    this.#context.counts.bytesSent += size;
  }

  destroy(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.socket.destroy();
  }

  // ---- What the listener asks --------------------------------------------------------------------------------------

  /** Answers a connection that is one too many. */
  refuseConnection(): void {
    this.#refuse('too_many_connections', {});
  }

  /** Ends the connection now if no request is at work, else with its answer. */
  stop(): void {
    if (this.#phase === 'head') this.destroy();
  }

  /** Ends the connection, whatever is at work. */
  cut(reason: AbortReason): void {
    this.#abortReason = reason;
    this.destroy();
  }

  /** Looks for limits of time that have passed. A span is timed from the first sweep that sees it: never cut early. */
  sweep(nowMs: number): void {
    if (this.#sweptSpan !== this.#spanCount) {
      this.#sweptSpan = this.#spanCount;
      this.#spanSinceMs = nowMs;
    }
    const { limits } = this.#context;
    const passedMs = nowMs - this.#spanSinceMs;
    switch (this.#phase) {
      case 'head': {
        const isBetween = this.#input.size === 0 && this.#requestCount > 0;
        if (passedMs >= (isBetween ? limits.idleMsMax : limits.headMsMax)) this.#timeOut();
        return;
      }
      case 'exchange':
        this.#sweepExchange(nowMs);
        return;
      case 'linger':
        if (passedMs >= limits.lingerMsMax) this.destroy();
        return;
      case 'closed':
    }
  }

  #sweepExchange(nowMs: number): void {
    const { limits } = this.#context;
    if (this.#bodyLeft > 0 && this.#isReading) {
      this.#bodyMeter ??= new RateMeter({ bytesPerSecMin: limits.bodyBytesPerSecMin, windowMs: limits.bodyWindowMs });
      if (this.#bodyMeter.isTooSlow(nowMs, this.#receivedSize)) return this.#timeOut();
    } else this.#bodyMeter?.rest();
    const unsent = this.socket.unsentBytes();
    if (unsent > 0) {
      const limit = { bytesPerSecMin: limits.readerBytesPerSecMin, windowMs: limits.writeStallMs };
      this.#answerMeter ??= new RateMeter(limit);
      if (this.#answerMeter.isTooSlow(nowMs, this.#sentSize - unsent)) this.#timeOut();
    } else this.#answerMeter?.rest();
  }

  /** Says 408 to a client that has sent something and got no answer yet. */
  #timeOut(): void {
    this.#context.counts.cuts++;
    this.#abortReason = 'too_slow';
    const isAnswered = this.#exchange?.answered === true;
    if (isAnswered || (this.#phase === 'head' && this.#input.size === 0)) return this.destroy();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#refuse('request_timeout', {});
    this.#dropSink('too_slow');
    exchange?.lose();
  }

  // ---- The pump ----------------------------------------------------------------------------------------------------

  /** Goes on until nothing more can be done with the input. Calls from within are answered by the loop that runs. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#step());
    this.#pumping = false;
    this.#setReading();
  }

  #step(): boolean {
    if (this.#phase === 'head') return this.#stepHead();
    if (this.#phase !== 'exchange') return false;
    const exchange = this.#exchange as OpenExchange;
    if (this.#sink !== undefined) return this.#stepBody(this.#sink);
    if (exchange.answered && this.#bodyLeft > 0 && this.#input.size > 0) {
      const size = Math.min(this.#bodyLeft, this.#input.size);
      this.#bodyLeft -= size;
      this.#input.use(size);
      return true;
    }
    if (!exchange.isSent || (this.#bodyLeft > 0 && !this.#closeAfter)) return false;
    this.#exchange = undefined;
    this.#spanCount++;
    this.#phase = 'head';
    if (this.#closeAfter) this.#linger();
    return true;
  }

  #stepHead(): boolean {
    const input = this.#input;
    if (input.size === 0 || !this.#mayBeComplete()) {
      if (this.#peerEnded) this.destroy();
      return false;
    }
    const { parser, counts } = this.#context;
    const outcome = parser.parse(input.bytes, input.start, input.end);
    if (outcome === ParseOutcome.refused) {
      this.#refuse(parser.code, { reason: parser.reason });
      return false;
    }
    if (outcome === ParseOutcome.incomplete || parser.head === undefined) {
      this.#parsedSize = input.size;
      return true;
    }
    const { head } = parser;
    this.#parsedSize = 0;
    input.use(outcome);
    this.#phase = 'exchange';
    this.#spanCount++;
    this.#requestCount++;
    counts.requests++;
    this.#bodyLeft = head.contentLength;
    this.#continued = false;
    this.#held = false;
    this.#exchange = new OpenExchange(head, this);
    this.#context.handler(this.#exchange);
    return true;
  }

  /** A head that trickles in is parsed again only when a line was ended, or when it has become too large. */
  #mayBeComplete(): boolean {
    const { bytes, start, end, size } = this.#input;
    const parsed = this.#parsedSize;
    if (parsed === 0) return true;
    if (size === parsed) return false;
    const lineEnd = bytes.indexOf(Char.lf, start + parsed);
    if ((lineEnd >= 0 && lineEnd < end) || size >= this.#context.limits.headBytesMax) return true;
    this.#parsedSize = size;
    return false;
  }

  #stepBody(sink: BodySink): boolean {
    const input = this.#input;
    this.#view = undefined;
    if (this.#bodyLeft === 0) {
      this.#sink = undefined;
      sink.end();
      return true;
    }
    if (this.#held) return false;
    const room = sink.next();
    // The sink may have led to an answer, which took the sink away.
    if (this.#sink !== sink) return true;
    if (room.length === 0) {
      this.#held = true;
      return false;
    }
    if (input.size === 0) {
      this.#view = room.length > this.#bodyLeft ? room.subarray(0, this.#bodyLeft) : room;
      return false;
    }
    const size = Math.min(room.length, this.#bodyLeft, input.size);
    room.set(input.bytes.subarray(input.start, input.start + size));
    input.use(size);
    this.#bodyLeft -= size;
    sink.wrote(size);
    return true;
  }

  /** The socket has put bytes into the view. */
  #took(size: number): void {
    const sink = this.#sink;
    if (sink === undefined || this.#view === undefined) throw new Error('bytes were read into memory given back');
    this.#view = undefined;
    this.#bodyLeft -= size;
    sink.wrote(size);
  }

  #setReading(): void {
    const wanted = this.#wantsBytes();
    if (wanted === this.#isReading || this.#phase === 'closed') return;
    this.#isReading = wanted;
    this.#bodyMeter?.rest();
    if (wanted) this.socket.resume();
    else this.socket.pause();
  }

  #wantsBytes(): boolean {
    if (this.#phase !== 'exchange') return true;
    if (this.#bodyLeft === 0) return this.#input.size <= this.#context.limits.pipelinedBytesMax;
    if (this.#sink !== undefined) return !this.#held;
    return this.#exchange?.answered === true;
  }

  // ---- Ends --------------------------------------------------------------------------------------------------------

  /** Takes the sink out of play: first no read may reach its memory, then it is told. */
  #dropSink(reason: AbortReason): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    const view = this.#view;
    this.#sink = undefined;
    this.#view = undefined;
    if (view !== undefined && this.#phase !== 'closed') this.socket.abandonBuffer();
    sink.abort(reason);
  }

  #refuse(code: TransportCode, details: Readonly<Record<string, string | number>>): void {
    this.#context.counts.refusals++;
    const { status, body } = this.#context.refusal(code, details);
    const head = answerHead(status, jsonHeaders, body.length, true);
    this.countSent(head.length + body.length);
    writeAnswer(this.socket, head, [body], body.length);
    this.#linger();
  }

  #linger(): void {
    this.#phase = 'linger';
    this.#spanCount++;
    this.#input.clear();
    this.socket.finish();
    if (this.#peerEnded && this.socket.unsentBytes() === 0) this.destroy();
    this.#setReading();
  }
}
