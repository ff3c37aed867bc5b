/** The repository's own text files, as the tidy rules see them: what git tracks or would track. */

import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface SourceFile {
  /** Relative to the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** What a rule found wrong, told as `path:line: what, and what to do instead`. */
export type Violation = string;

export const root = join(import.meta.dirname, '..', '..');

const binaryFile = /\.(wasm|png|npy|arrow|bin|ipc|tqj|seg|sst)$/;

export function readRepository(): SourceFile[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], { cwd: root });
  return listed
    .toString('utf8')
    .split('\0')
    .filter((path) => path !== '' && !binaryFile.test(path) && isFile(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** A file that is tracked but deleted in the working tree is not there to be read. */
function isFile(path: string): boolean {
  return statSync(join(root, path), { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Whether the head of a file says what makes it, and that it is not to be edited. */
export function isGenerated(file: SourceFile): boolean {
  const head = file.text.split('\n', 4).join('\n');
  return /\bgenerated (by|from)\b/i.test(head) && /do not edit/i.test(head);
}
