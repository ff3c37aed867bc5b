/** How the manifest changes: pure functions from one to the next, so that every change is one atomic edit. */
import type { Checkpoint } from './api.ts';
import { compareEnds, compareKeys, joinRanges, type KeyRange } from './keys.ts';
import { mayHold } from './levels.ts';
import type { Dropped, Manifest, SstRecord } from './manifest.ts';
import type { Merging } from './picking.ts';
import type { SstFacts } from './sst_writer.ts';

/** A flush brought a run, and with it all that the checkpoint says. */
export function flushed(
  manifest: Manifest,
  flush: { readonly made: readonly SstFacts[]; readonly checkpoint: Checkpoint; readonly dropped: readonly KeyRange[] },
): Manifest {
  const edit = manifest.edit + 1;
  const files = flush.made.map((facts) => ({ ...facts, level: 0, run: edit, trimmed: false, cleanEdit: edit }));
  const dropped = joinDropped([...manifest.dropped, ...flush.dropped.map((range) => ({ ...range, edit }))]);
  return settled({ ...manifest, checkpoint: flush.checkpoint, dropped, files: [...manifest.files, ...files] });
}

export function removed(manifest: Manifest, gone: readonly SstRecord[]): Manifest {
  return settled({ ...manifest, files: without(manifest.files, gone) });
}

export function moved(manifest: Manifest, { files, level }: { files: readonly SstRecord[]; level: number }): Manifest {
  const there = files.map((file) => ({ ...file, level, run: 0 }));
  return settled({ ...manifest, files: [...without(manifest.files, files), ...there] });
}

/** The inputs of a merge give way to its outputs; what reaches beyond the piece is trimmed. */
export function merged(manifest: Manifest, { inputs, range, round }: Merging, outputs: readonly SstRecord[]): Manifest {
  const { end } = range;
  const beyond = inputs.filter(({ last }) => compareEnds(last, end) >= 0);
  const trimmed = beyond.map((file) => ({ ...file, first: end!, trimmed: true }));
  const files = [...without(manifest.files, inputs), ...trimmed, ...outputs];
  return settled({ ...manifest, round: round ?? manifest.round, files });
}

/** Ranges that overlap or touch become one, as young as the youngest of them. */
function joinDropped(ranges: readonly Dropped[]): Dropped[] {
  return joinRanges(ranges).map((joined) => {
    const parts = ranges.filter(({ start, end }) => isWithin({ start, end }, joined));
    return { ...joined, edit: Math.max(...parts.map(({ edit }) => edit)) };
  });
}

function isWithin(inner: KeyRange, outer: KeyRange): boolean {
  return compareKeys(inner.start, outer.start) >= 0 && compareEnds(inner.end, outer.end) <= 0;
}

function without(files: readonly SstRecord[], gone: readonly SstRecord[]): SstRecord[] {
  const numbers = new Set(gone.map(({ number }) => number));
  return files.filter(({ number }) => !numbers.has(number));
}

/** Ends what is over: a round without files, a dropped range that no file holds. */
function settled(manifest: Manifest): Manifest {
  const { files, round } = manifest;
  const goesOn = files.some(({ level, run }) => level === 0 && round !== null && run <= round);
  const dropped = manifest.dropped.filter((range) => files.some((file) => mayHold(file, range)));
  return { ...manifest, round: goesOn ? round : null, dropped };
}
