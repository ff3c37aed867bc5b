/**
 * How far a long check is: a bar on a terminal, a line each ten seconds elsewhere, nothing when nobody looks.
 *
 * It is driven by the bytes that are checked, needs no timer, and never writes to standard output.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { Clock } from '../env/env.ts';
import type { Output } from './print.ts';
import { sizeText } from './words.ts';

const LINE_MS = 10_000;
const REDRAWS_PER_SECOND = 5;

export interface Meter {
  /** How many bytes there are to check, as far as is known by now. */
  total(bytes: number): void;
  add(bytes: number): void;
  /** What is checked from now on. */
  stage(name: string): void;
  end(): void;
}

export const silentMeter: Meter = {
  total: () => undefined,
  add: () => undefined,
  stage: () => undefined,
  end: () => undefined,
};

export function meterOn(output: Output, clock: Clock): Meter {
  return output.isTTY === true ? new BarMeter(output, clock) : new LineMeter(output, clock);
}

/** What both show, out of bytes and time. */
class Pace {
  readonly #clock: Clock;
  readonly #startedMs: number;
  total = 0;
  done = 0;
  stage = '';

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.nowMs();
  }

  /** Bytes a second. */
  get rate(): number {
    return this.done / Math.max(0.001, (this.#clock.nowMs() - this.#startedMs) / 1_000);
  }

  get left(): string {
    if (this.done === 0) return 'unknown';
    const seconds = Math.round(Math.max(0, this.total - this.done) / this.rate);
    return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  }

  get percent(): number {
    return this.total === 0 ? 0 : Math.min(100, Math.floor((100 * this.done) / this.total));
  }
}

class BarMeter implements Meter {
  readonly #pace: Pace;
  readonly #bar: SingleBar;

  constructor(output: Output, clock: Clock) {
    this.#pace = new Pace(clock);
    const format = '{stage} {bar} {percent} %  {done} of {all}  {rate}/s  {left} left';
    const stream = output as NodeJS.WritableStream;
    this.#bar = new SingleBar(
      { stream, format, barsize: 24, fps: REDRAWS_PER_SECOND, hideCursor: false, clearOnComplete: true },
      Presets.shades_grey,
    );
  }

  total(bytes: number): void {
    this.#pace.total = bytes;
    this.#bar.setTotal(Math.max(1, bytes));
  }

  add(bytes: number): void {
    this.#pace.done += bytes;
    this.#bar.update(Math.min(this.#pace.done, Math.max(1, this.#pace.total)), this.#shown());
  }

  stage(name: string): void {
    this.#pace.stage = name;
    if (this.#bar.isActive) this.#bar.update(this.#shown());
    else this.#bar.start(Math.max(1, this.#pace.total), 0, this.#shown());
  }

  end(): void {
    this.#bar.stop();
  }

  #shown(): Record<string, string> {
    const { stage, done, total, rate, left, percent } = this.#pace;
    const sizes = { done: sizeText(done), all: sizeText(total), rate: sizeText(Math.round(rate)) };
    return { stage: stage.padEnd(8), percent: String(percent).padStart(3), left, ...sizes };
  }
}

class LineMeter implements Meter {
  readonly #pace: Pace;
  readonly #clock: Clock;
  readonly #output: Output;
  #printedMs: number;

  constructor(output: Output, clock: Clock) {
    this.#pace = new Pace(clock);
    this.#clock = clock;
    this.#output = output;
    this.#printedMs = clock.nowMs();
  }

  total(bytes: number): void {
    this.#pace.total = bytes;
  }

  add(bytes: number): void {
    this.#pace.done += bytes;
    if (this.#clock.nowMs() - this.#printedMs < LINE_MS) return;
    this.#printedMs = this.#clock.nowMs();
    const { stage, done, total, rate, left, percent } = this.#pace;
    const sizes = `${sizeText(done)} of ${sizeText(total)}, ${sizeText(Math.round(rate))}/s`;
    this.#output.write(`tq: ${stage}: ${percent} %, ${sizes}, ${left} left\n`);
  }

  stage(name: string): void {
    this.#pace.stage = name;
  }

  end(): void {
    // What is left to say is in the report.
  }
}
