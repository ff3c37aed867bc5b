/** The other end of failpoint_files.ts: arms the failpoints of servers that were started with the same directory. */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAILPOINTS_VARIABLE } from '../../server/env/failpoint_files.ts';
import type { Arming, Failpoint } from '../../server/env/failpoints.ts';

const POLL_MS = 5;

export class FailpointDirectory {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What a server's environment needs. */
  get environment(): Record<string, string> {
    return { [FAILPOINTS_VARIABLE]: this.#directory };
  }

  /** Lets the point strike once. */
  arm(point: Failpoint, arming: Arming): void {
    rmSync(this.#path(point, 'hit'), { force: true });
    const { action, pass } = arming;
    const text = arming.action === 'delay' ? `${action} ${pass} ${arming.ms}` : `${action} ${pass}`;
    writeFileSync(this.#path(point, 'new'), text);
    renameSync(this.#path(point, 'new'), this.#path(point, 'arm'));
  }

  disarm(point: Failpoint): void {
    rmSync(this.#path(point, 'arm'), { force: true });
  }

  wasHit(point: Failpoint): boolean {
    return existsSync(this.#path(point, 'hit'));
  }

  /** Resolves once the point struck. */
  async hit(point: Failpoint): Promise<void> {
    while (!this.wasHit(point)) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }

  /** Lets the server go on that waits at the point. */
  release(point: Failpoint): void {
    writeFileSync(this.#path(point, 'release'), '');
  }

  #path(point: Failpoint, end: string): string {
    return join(this.#directory, `${point}.${end}`);
  }
}
