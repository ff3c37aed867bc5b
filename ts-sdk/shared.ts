/** Something that all calls need and the first one asks for: it is asked for again after a failure, or by `forget`. */
export class Shared<T> {
  readonly #ask: () => Promise<T>;
  #asked: Promise<T> | undefined;
  #isThere = false;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  /** The signal ends only the waiting of this call; what is there needs no wait. */
  get(signal: AbortSignal | undefined): Promise<T> {
    const asked = (this.#asked ??= this.#begin());
    return signal === undefined || this.#isThere ? asked : orAborted(asked, signal);
  }

  forget(): void {
    this.#asked = undefined;
    this.#isThere = false;
  }

  #begin(): Promise<T> {
    const asked = this.#ask();
    const settled = (isThere: boolean) => (): void => {
      if (this.#asked !== asked) return; // It was forgotten meanwhile.
      if (isThere) this.#isThere = true;
      else this.forget();
    };
    asked.then(settled(true), settled(false));
    return asked;
  }
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason as Error);
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
