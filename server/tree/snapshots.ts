/** The LSNs at which somebody reads: what they see is kept by memtables and compactions. */

export class Snapshots {
  /** Ascending, one for each holder. */
  readonly #lsns: number[] = [];

  /** The highest LSN that is held, 0 without any. */
  get newest(): number {
    return this.#lsns.at(-1) ?? 0;
  }

  /** Ascending, each once. */
  get lsns(): readonly number[] {
    return [...new Set(this.#lsns)];
  }

  take(lsn: number): { readonly lsn: number; release(): void } {
    const after = this.#lsns.findIndex((other) => other > lsn);
    this.#lsns.splice(after === -1 ? this.#lsns.length : after, 0, lsn);
    let isHeld = true;
    const release = (): void => {
      if (isHeld) this.#lsns.splice(this.#lsns.indexOf(lsn), 1);
      isHeld = false;
    };
    return { lsn, release };
  }
}
