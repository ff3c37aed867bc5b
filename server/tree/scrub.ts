/**
 * Reads the files of a tree from the disk, at the pace of who asks, and compares each with its SHA-256 in the manifest.
 * Blocks that readers cache were checked when they came; this finds what nobody reads.
 */
import { Sha256 } from '../env/digest.ts';
import { FsError } from '../env/env.ts';
import { sstName } from './sst_format.ts';
import type { TreeFiles } from './tree_files.ts';

const PIECE_SIZE = 1 << 20;

/** Calls `damaged` for each file that is not what was written. Ends early when `take` says no. */
export async function scrubFiles(
  files: TreeFiles,
  take: (size: number) => Promise<boolean>,
  damaged: (file: string) => void,
): Promise<void> {
  const { version, manifest } = files;
  version.hold();
  try {
    for (const { number, size, sha256 } of manifest.files) {
      const found = await hashOf(files, { name: sstName(number), size }, take);
      if (found === null) return;
      if (found !== sha256) damaged(sstName(number));
    }
  } finally {
    version.release();
  }
}

/** In hexadecimal; '' when the file cannot be read, null when `take` said no. */
async function hashOf(
  files: TreeFiles,
  { name, size }: { name: string; size: number },
  take: (size: number) => Promise<boolean>,
): Promise<string | null> {
  const hash = new Sha256();
  const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, size));
  for (let from = 0; from < size; from += PIECE_SIZE) {
    const bytes = piece.subarray(0, Math.min(PIECE_SIZE, size - from));
    if (!(await take(bytes.length))) return null;
    const read = await files.read(name, bytes, from).catch((error: unknown) => {
      if (error instanceof FsError) return 0;
      throw error;
    });
    if (read < bytes.length) return '';
    hash.update(bytes);
  }
  return hash.finish();
}
