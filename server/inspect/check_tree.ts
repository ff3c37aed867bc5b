/** Stand-in. */
import type { Env } from '../env/env.ts';
import type { JournalStart } from '../journal/scan.ts';
import { manifestOf, startOfJournal } from './manifest.ts';
import type { Meter } from './meter.ts';
import type { Report } from './report.ts';

export async function checkTree(
  { env, directory }: { env: Env; directory: string },
  _to: { report: Report; meter: Meter },
): Promise<JournalStart> {
  return startOfJournal(await manifestOf(env, directory));
}
