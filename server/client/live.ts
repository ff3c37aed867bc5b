/** `tq top` over time: a screen that is drawn anew each interval, one frame as text, or an object a line. */
import type { Clock } from '../env/env.ts';
import type { Terminal } from '../env/terminal.ts';
import { widthOf } from '../inspect/print.ts';
import { complaintOf, printable, printJson, type Console } from './console.ts';
import { drawTop } from './draw_top.ts';
import { takeSample, topOf, type Sample } from './top.ts';

export interface TopAsked {
  readonly partitions: readonly string[];
  readonly intervalMs: number;
  /** One frame as text, or one object, and no more. */
  readonly once: boolean;
}

export interface Live extends Console {
  readonly terminal: Terminal;
  readonly clock: Clock;
}

/** Until the user has seen enough, or once. */
export async function top(live: Live, asked: TopAsked): Promise<void> {
  const { terminal, json } = live;
  try {
    if (asked.once) await showOnce(live, asked);
    else if (json) await writeLines(live, asked);
    else await fillScreen(live, asked);
  } catch (error) {
    // The answer that was waited for is not wanted any more.
    if (!terminal.ended.aborted) throw error;
  } finally {
    terminal.close();
  }
}

/** Two samples, so that the rates are known. */
async function showOnce(live: Live, { partitions, intervalMs }: TopAsked): Promise<void> {
  const { server, out, terminal, clock } = live;
  const before = await takeSample(server, clock);
  await terminal.pause(intervalMs);
  const shown = topOf(await takeSample(server, clock), before, partitions);
  if (live.json) return printJson(live, shown);
  out.write(`${drawTop(shown, { head: server.url, columns: widthOf(out), rows: Infinity }).join('\n')}\n`);
}

/** An object a line. */
async function writeLines(live: Live, { partitions, intervalMs }: TopAsked): Promise<void> {
  const { server, terminal, clock } = live;
  let before: Sample | null = null;
  while (!terminal.ended.aborted) {
    const sample: Sample = await takeSample(server, clock);
    printJson(live, topOf(sample, before, partitions));
    before = sample;
    await terminal.pause(intervalMs);
  }
}

/** A server that does not answer may do so again: what was seen last stays, under a line that says what is wrong. */
async function fillScreen({ server, terminal, clock }: Live, { partitions, intervalMs }: TopAsked): Promise<void> {
  let before: Sample | null = null;
  let sample: Sample | null = null;
  while (!terminal.ended.aborted) {
    let head = `tq top   ${server.url}   every ${intervalMs / 1_000} s, q ends`;
    try {
      const taken: Sample = await takeSample(server, clock);
      [before, sample] = [sample, taken];
    } catch (error) {
      if (terminal.ended.aborted) return;
      head = `tq top   ${complaintOf(error, server)}`;
    }
    const frame = { head, ...terminal.size };
    const lines = sample === null ? [head] : drawTop(topOf(sample, before, partitions), frame);
    terminal.draw(lines.map(printable));
    await terminal.pause(intervalMs);
  }
}
