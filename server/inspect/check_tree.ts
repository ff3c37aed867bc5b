/** Puts what is wrong with the files of the tree into the report. */
import { loadCore } from '@transfer-queue/core/wasm';
import type { Env } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import { oldestStart, type JournalStart } from '../journal/scan.ts';
import { verifyTree } from '../tree/verify.ts';
import { manifestOf, startOfJournal } from './manifest.ts';
import type { Meter } from './meter.ts';
import { RESTORE, type Report } from './report.ts';

/** Where the journal is to be read from; as far back as it goes when the manifest cannot say. */
export async function checkTree(
  { env, directory }: { env: Env; directory: string },
  { report, meter }: { report: Report; meter: Meter },
): Promise<JournalStart> {
  const folder = `${directory}/tree`;
  let checkedSize = 0;
  if ((await env.fs.list(folder).catch(() => null)) !== null) {
    const { files, size, entries, problems } = await verifyTree(env, folder, ({ doneSize }) => {
      meter.add(doneSize - checkedSize);
      checkedSize = doneSize;
    });
    report.add('treeFiles', files, size);
    report.add('treeEntries', entries);
    for (const { file, what, offset } of problems) {
      report.problem('treeFiles', { what, file: `tree/${file}`, offset, advice: RESTORE });
    }
  }
  try {
    return startOfJournal(await manifestOf(env, directory));
  } catch (error) {
    if (!(error instanceof RecoveryError)) throw error;
    return oldestStart({ env, core: loadCore(), directory: `${directory}/journal` });
  }
}
