/**
 * The files of a tree: the manifest in force, the version that readers see, and the way from one to the next.
 *
 *   install: open and check new files -> sync the directory -> manifest, durably -> new version -> unlink what is gone
 *
 * Invariants: edits are made one after the other; the manifest names only files that are complete and synced; a file
 * that it names no more is unlinked after its last reader has left.
 */
import type { LsmMemory } from '@transfer-queue/core/lsm';
import type { Env } from '../env/env.ts';
import { RecoveryError } from '../errors.ts';
import { BlockCache } from './block_cache.ts';
import { levelsOf } from './levels.ts';
import { emptyManifest, MANIFEST_NAME, type Manifest, type SstRecord } from './manifest.ts';
import { MANIFEST_NEW_NAME, readManifest, writeManifest } from './manifest_file.ts';
import { OpenFiles } from './open_files.ts';
import { sstName, sstNumber } from './sst_format.ts';
import { openTable, type SstTable } from './sst_table.ts';
import { TableRegistry, Version } from './version.ts';

/** Files that a start checks at the same time. */
const OPENINGS_MAX = 16;

export interface TreePlace {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly directory: string;
  readonly cacheSize: number;
}

export class TreeFiles {
  readonly env: Env;
  readonly memory: LsmMemory;
  readonly directory: string;
  readonly cache: BlockCache;
  readonly #files: OpenFiles;
  readonly #registry = new TableRegistry((table) => this.#drop(table));
  #manifest = emptyManifest;
  #version: Version;
  #fileNext = 1;
  #edits: Promise<void> = Promise.resolve();
  readonly #unlinking = new Set<Promise<void>>();
  #isClosed = false;

  private constructor({ env, memory, directory, cacheSize }: TreePlace) {
    this.env = env;
    this.memory = memory;
    this.directory = directory;
    this.cache = new BlockCache(memory, cacheSize);
    this.#files = new OpenFiles(env);
    this.#version = this.#versionOf(emptyManifest, null);
  }

  /** Throws a `RecoveryError` when something that the manifest promises is not there. */
  static async open(place: TreePlace): Promise<TreeFiles> {
    const files = new TreeFiles(place);
    try {
      await files.#open();
    } catch (error) {
      await files.#files.closeAll();
      throw error;
    }
    return files;
  }

  async #open(): Promise<void> {
    const { env, directory } = this;
    const names = await env.fs.list(directory);
    if (names.includes(MANIFEST_NAME)) return this.#recover(await readManifest(this), names);
    const lost = names.find((name) => sstNumber(name) !== null);
    if (lost !== undefined) throw new RecoveryError('the tree has files and no manifest', { directory, file: lost });
    // Named before the first file is written, so that files without a manifest are damage and not a crash's leavings.
    await this.install((manifest) => manifest);
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  get version(): Version {
    return this.#version;
  }

  /** Reads of a file by its name, past the cache. */
  read(name: string, into: Uint8Array, position: number): Promise<number> {
    return this.#files.read(`${this.directory}/${name}`, into, position);
  }

  takeNumber(): number {
    return this.#fileNext++;
  }

  /**
   * Makes an edit; `installed` runs in the turn in which readers begin to see it. Rejects when it did not happen; new
   * files are removed then.
   */
  install(change: (manifest: Manifest) => Manifest, installed: () => void = () => undefined): Promise<void> {
    const edit = this.#edits.then(() => this.#install(change, installed));
    this.#edits = edit.catch(() => undefined);
    return edit;
  }

  /** Waits for edits and removals under way; reads must be over. */
  async close(): Promise<void> {
    await this.#edits;
    this.#isClosed = true;
    this.#version.release();
    for (const { number } of this.#manifest.files) this.#registry.release(number);
    await Promise.all(this.#unlinking);
    await this.#files.closeAll();
  }

  async #install(change: (manifest: Manifest) => Manifest, installed: () => void): Promise<void> {
    const before = this.#manifest;
    const next = { ...change(before), edit: before.edit + 1, fileNext: this.#fileNext };
    const known = new Set(before.files.map(({ number }) => number));
    const added = next.files.filter(({ number }) => !known.has(number));
    let tables: readonly SstTable[];
    try {
      tables = await this.#openTables(added);
      if (added.length > 0) {
        await this.env.fail('tree.sst.syncdir');
        await this.env.fs.syncDirectory(this.directory);
      }
      await writeManifest(this, next);
    } catch (error) {
      for (const { number } of added) await this.#unlink(`${this.directory}/${sstName(number)}`);
      throw error;
    }
    for (const table of tables) this.#registry.add(table);
    this.#manifest = next;
    const seen = this.#version;
    this.#version = this.#versionOf(next, seen);
    seen.release();
    installed();
    const left = new Set(next.files.map(({ number }) => number));
    for (const { number } of before.files) if (!left.has(number)) this.#registry.release(number);
  }

  #versionOf({ files }: Manifest, before: Version | null): Version {
    return new Version({ memory: this.memory, levels: levelsOf(files), registry: this.#registry, before });
  }

  async #recover(manifest: Manifest, names: readonly string[]): Promise<void> {
    const named = new Set(manifest.files.map(({ number }) => number));
    const tables = await this.#openTables(manifest.files);
    for (const table of tables) this.#registry.add(table);
    this.#fileNext = manifest.fileNext;
    for (const name of names) {
      const number = sstNumber(name);
      if (number === null ? name !== MANIFEST_NEW_NAME : named.has(number)) continue;
      await this.env.fail('tree.sst.unlink');
      await this.env.fs.unlink(`${this.directory}/${name}`);
      // Its number stays used: after a crash of the machine the name may be there again.
      this.#fileNext = Math.max(this.#fileNext, (number ?? 0) + 1);
    }
    this.#manifest = manifest;
    const seen = this.#version;
    this.#version = this.#versionOf(manifest, seen);
    seen.release();
  }

  async #openTables(records: readonly SstRecord[]): Promise<SstTable[]> {
    const { env, memory, directory } = this;
    const options = { env, memory, directory, files: this.#files };
    const tables: SstTable[] = [];
    for (let from = 0; from < records.length; from += OPENINGS_MAX) {
      const some = records.slice(from, from + OPENINGS_MAX);
      tables.push(...(await Promise.all(some.map((record) => openTable(options, record)))));
    }
    return tables;
  }

  /** Nobody holds the table any more. */
  #drop(table: SstTable): void {
    this.cache.drop(table);
    if (this.#isClosed) return;
    const unlinking = this.#unlink(table.path).finally(() => this.#unlinking.delete(unlinking));
    this.#unlinking.add(unlinking);
  }

  async #unlink(path: string): Promise<void> {
    try {
      await this.#files.close(path);
      await this.env.fail('tree.sst.unlink');
      await this.env.fs.unlink(path);
    } catch (error) {
      this.env.log.warn({ err: error, path }, 'a file of the tree could not be removed; the next start removes it');
    }
  }
}
