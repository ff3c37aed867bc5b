/**
 * The reserve: a file of zeros that gives its space to the journal when the disk is full, so that claims, acks, deletes
 * and drops go on while puts are refused. It is made again when space has returned.
 */
import type { Env } from '../env/env.ts';
import { FsError } from '../env/env.ts';

export const RESERVE_SIZE = 16 << 20;
const PIECE_SIZE = 1 << 20;
const NAME = 'reserve';

export class Reserve {
  readonly #env: Env;
  readonly #path: string;
  readonly #directory: string;
  #intact = false;

  constructor(options: { env: Env; directory: string }) {
    this.#env = options.env;
    this.#directory = options.directory;
    this.#path = `${options.directory}/${NAME}`;
  }

  /** False while the disk is full: puts are refused. */
  get intact(): boolean {
    return this.#intact;
  }

  /** Takes over the reserve of the run before; a disk may be full at the start. */
  async find(): Promise<void> {
    if (!(await this.#env.fs.list(this.#directory)).includes(NAME)) return;
    const file = await this.#env.fs.open(this.#path);
    try {
      this.#intact = (await file.size()) === RESERVE_SIZE;
    } finally {
      await file.close();
    }
  }

  /** Frees the reserve. False when it was used up before. */
  async giveWay(): Promise<boolean> {
    if (!this.#intact) return false;
    this.#intact = false;
    await this.#env.fail('reserve.give_way');
    await this.#env.fs.unlink(this.#path);
    this.#env.log.warn({ freed_bytes: RESERVE_SIZE }, 'the disk is full: puts are refused until space returns');
    return true;
  }

  /** Makes the reserve when there is room for it and as much again. Does nothing while it is there. */
  async restore(): Promise<void> {
    if (this.#intact) return;
    if ((await this.#env.fs.freeBytes(this.#directory)) < 2 * RESERVE_SIZE) return;
    await this.#env.fail('reserve.restore');
    const file = await this.#env.fs.open(this.#path, { create: true });
    try {
      const zeros = new Uint8Array(PIECE_SIZE);
      for (let at = 0; at < RESERVE_SIZE; at += PIECE_SIZE) await file.pwrite(zeros, at);
      this.#intact = true;
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== 'ENOSPC') throw error;
      await this.#env.fs.unlink(this.#path);
    } finally {
      await file.close();
    }
  }
}
