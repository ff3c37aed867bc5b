/** Machines that forget to note a change: planted bugs for the tests of what is saved. */
import { headerOf, sameHeader } from '../../../server/queue/changes.ts';
import { machine, type Machine, type PartitionQueue } from '../../../server/queue/machine.ts';
import { kindOf, unitKinds } from '../../../server/queue/page.ts';

export const markKinds = [
  'header',
  'task',
  'claim',
  'groups',
  'live',
  'field',
  'taken',
  'marks',
  'tags',
  'numbers',
] as const;
export type MarkKind = (typeof markKinds)[number];

const applies = [
  'applyInsert',
  'applyDelete',
  'applyTags',
  'applyClaim',
  'applyAck',
  'applyRelease',
  'applyDeclare',
  'applyRequeue',
  'applyReset',
  'applySkip',
  'applySeal',
] as const;
export type Apply = (typeof applies)[number];

/** Marks of a kind that a function makes: `applyAck taken`. */
export type Forgotten = `${Apply} ${MarkKind}`;
export const allForgotten = applies.flatMap((apply) => markKinds.map((kind): Forgotten => `${apply} ${kind}`));

/** The machine without the marks of one kind that one function makes. */
export function forget(what: Forgotten): Machine {
  return watch([what], (_, unmark) => unmark());
}

/** The machine as it is; tells which marks of which function it makes. */
export function listen(onMark: (what: Forgotten) => void): Machine {
  return watch(allForgotten, onMark);
}

function watch(watched: readonly Forgotten[], onMark: (what: Forgotten, unmark: () => void) => void): Machine {
  const watching: Record<string, unknown> = { ...machine };
  for (const what of watched) {
    const [apply, kind] = what.split(' ') as [Apply, MarkKind];
    const inner = watching[apply] as (queue: PartitionQueue, ...others: unknown[]) => unknown;
    watching[apply] = (queue: PartitionQueue, ...others: unknown[]): unknown => {
      const before = marksOf(queue, kind);
      const result = inner(queue, ...others);
      for (const [name, unmark] of marksOf(queue, kind)) if (!before.has(name)) onMark(what, unmark);
      return result;
    };
  }
  return watching as unknown as Machine;
}

/** The marks of a kind, by name, with a function for each that takes it away. */
function marksOf(queue: PartitionQueue, kind: MarkKind): Map<string, () => void> {
  const { changes, ended, slots } = queue;
  const marks = new Map<string, () => void>();
  if (kind === 'header') {
    const saved = changes.headerSaved;
    const header = headerOf(queue);
    if (saved === undefined || !sameHeader(saved, header)) marks.set('', () => (changes.headerSaved = header));
  } else if (kind === 'task' || kind === 'claim') {
    const set = kind === 'task' ? changes.tasks : changes.claims;
    for (const number of set) marks.set(`${number}`, () => set.delete(number));
    if (kind === 'claim') for (const number of ended.unsaved()) marks.set(`${number}`, () => ended.noteSaved(number));
  } else {
    for (const page of slots.changed) {
      for (const unit of page.changed) {
        if (kindOf(unit) === unitKinds[kind]) marks.set(`${page.number} ${unit}`, () => page.changed.delete(unit));
      }
    }
  }
  return marks;
}
