/**
 * The manifest on disk: read as a whole, replaced as a whole.
 *
 *   manifest.new: write, datasync -> rename to manifest -> sync of the directory
 *
 * Invariants: whatever happens, `manifest` is the old one or the new one; what a failure after the rename has left is
 * unknown, so that the process ends.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import type { Env, File } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import { decodeManifest, encodeManifest, MANIFEST_NAME, type Manifest } from './manifest.ts';

export const MANIFEST_NEW_NAME = 'manifest.new';

export interface ManifestPlace {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly directory: string;
}

/** Throws a `RecoveryError` when it cannot be read to the last byte. */
export async function readManifest({ env, memory, directory }: ManifestPlace): Promise<Manifest> {
  const path = `${directory}/${MANIFEST_NAME}`;
  try {
    const file = await env.fs.open(path);
    try {
      return decodeManifest(memory, await readAll(file));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof RecoveryError) throw error;
    throw new RecoveryError('the manifest of the tree cannot be read', { file: path, why: String(error) });
  }
}

async function readAll(file: File): Promise<Buffer> {
  const bytes = Buffer.alloc(await file.size());
  return bytes.subarray(0, await file.pread(bytes, 0));
}

/** Resolves when the new manifest is durable; rejects when the old one is still in force. */
export async function writeManifest({ env, memory, directory }: ManifestPlace, manifest: Manifest): Promise<void> {
  const fresh = `${directory}/${MANIFEST_NEW_NAME}`;
  await env.fail('tree.manifest.write');
  const file = await env.fs.open(fresh, { create: true });
  try {
    const bytes = encodeManifest(memory, manifest);
    await file.pwrite(bytes, 0);
    await file.truncate(bytes.length);
    await env.fail('tree.manifest.sync');
    await file.datasync().catch((error: unknown) => env.crash('the manifest could not be synced', error));
  } finally {
    await file.close();
  }
  await env.fail('tree.manifest.rename');
  await env.fs.rename(fresh, `${directory}/${MANIFEST_NAME}`);
  try {
    await env.fail('tree.manifest.syncdir');
    await env.fs.syncDirectory(directory);
  } catch (error) {
    env.crash('the directory of the tree could not be synced', error);
  }
}
