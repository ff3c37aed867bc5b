/** How the manifest changes: pure functions from one to the next, so that every change is one atomic edit. */
import type { Checkpoint } from './api.ts';
import { compareEnds, compareKeys, isEmpty, type KeyRange } from './keys.ts';
import { heldOf } from './levels.ts';
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
  const sorted = ranges.filter((range) => !isEmpty(range)).sort((a, b) => compareKeys(a.start, b.start));
  const joined: Dropped[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || compareEnds(last.end, range.start) < 0) {
      joined.push(range);
      continue;
    }
    const end = compareEnds(last.end, range.end) < 0 ? range.end : last.end;
    joined[joined.length - 1] = { start: last.start, end, edit: Math.max(last.edit, range.edit) };
  }
  return joined;
}

function without(files: readonly SstRecord[], gone: readonly SstRecord[]): SstRecord[] {
  const numbers = new Set(gone.map(({ number }) => number));
  return files.filter(({ number }) => !numbers.has(number));
}

/** Ends what is over: a round without files, a dropped range that no file holds. */
function settled(manifest: Manifest): Manifest {
  const { files, round } = manifest;
  const goesOn = files.some(({ level, run }) => level === 0 && round !== null && run <= round);
  const held = new Set(files.flatMap((file) => heldOf(file, manifest.dropped)));
  const dropped = manifest.dropped.filter((range) => held.has(range));
  return { ...manifest, round: goesOn ? round : null, dropped };
}
