/** How the events of claims and tasks are written. */
import { wordOf, type Codec } from './codec.ts';
import type {
  AckEvent,
  AdvanceEvent,
  BatchEvent,
  ClaimEvent,
  ReleaseEvent,
  RequeueEvent,
  ResetEvent,
  SealEvent,
  SkipEvent,
} from './events.ts';

export const claim: Codec<ClaimEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.text(event.task);
    out.number(event.claim);
    out.number(event.epoch);
    out.u32(event.leaseMs);
    out.u8(event.autoAck ? 1 : 0);
    out.numbers(event.fields);
    out.numbers(event.ids);
    for (const attempt of event.attempts) out.u16(attempt);
    if (event.batch === undefined) return;
    out.text(event.batch.name);
    out.number(event.batch.number);
    out.u16(event.batch.part);
    out.u16(event.batch.parts);
  },
  read(source) {
    const partition = source.u32();
    const requestId = source.text();
    const task = source.name();
    const counter = source.number();
    const epoch = source.number();
    const leaseMs = source.u32();
    const autoAck = source.u8() === 1;
    const fields = source.list();
    const ids = source.numbers();
    const attempts = new Uint16Array(ids.length);
    for (let i = 0; i < attempts.length; i++) attempts[i] = source.u16();
    const event: ClaimEvent = {
      type: 'claim',
      partition,
      requestId,
      task,
      claim: counter,
      epoch,
      fields,
      ids,
      attempts,
      leaseMs,
      autoAck,
    };
    if (source.done) return event;
    const batch = { name: source.text(), number: source.number(), part: source.u16(), parts: source.u16() };
    return { ...event, batch };
  },
};

export const ack: Codec<AckEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.claim);
    out.text(event.requestId);
  },
  read: (source) => ({
    type: 'ack',
    partition: source.u32(),
    claim: source.number(),
    requestId: source.text(),
  }),
};

const releaseReasons = ['released', 'expired', 'undelivered'] as const;

export const release: Codec<ReleaseEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.claim);
    out.text(event.requestId);
    out.u8(releaseReasons.indexOf(event.reason));
  },
  read: (source) => ({
    type: 'release',
    partition: source.u32(),
    claim: source.number(),
    requestId: source.text(),
    reason: wordOf(releaseReasons, source.u8()),
  }),
};

export const seal: Codec<SealEvent> = {
  write: (out, event) => out.u32(event.partition),
  read: (source) => ({ type: 'seal', partition: source.u32() }),
};

const batchOutcomes = ['timed_out', 'drained'] as const;

export const batch: Codec<BatchEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.task);
    out.text(event.name);
    out.number(event.number);
    out.u16(event.parts);
    out.u8(batchOutcomes.indexOf(event.outcome));
  },
  read: (source) => ({
    type: 'batch',
    partition: source.u32(),
    task: source.text(),
    name: source.text(),
    number: source.number(),
    parts: source.u16(),
    outcome: wordOf(batchOutcomes, source.u8()),
  }),
};

export const requeue: Codec<RequeueEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.task);
    out.numbers(event.ids);
  },
  read: (source) => ({ type: 'requeue', partition: source.u32(), task: source.text(), ids: source.numbers() }),
};

export const reset: Codec<ResetEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.requestId);
    out.text(event.task);
  },
  read: (source) => ({ type: 'reset', partition: source.u32(), requestId: source.text(), task: source.text() }),
};

export const skip: Codec<SkipEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.text(event.task);
    out.numbers(event.fields);
    out.numbers(event.ids);
  },
  read: (source) => ({
    type: 'skip',
    partition: source.u32(),
    task: source.text(),
    fields: Array.from(source.numbers()),
    ids: source.numbers(),
  }),
};

export const advance: Codec<AdvanceEvent> = {
  write(out, event) {
    out.u32(event.partition);
    out.number(event.version);
  },
  read: (source) => ({ type: 'advance', partition: source.u32(), version: source.number() }),
};
