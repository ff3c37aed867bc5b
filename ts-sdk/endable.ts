/**
 * Async generators that can be ended while they wait: `return()` of a plain one is not heard of before its wait ends.
 */

export type Endable<T> = AsyncGenerator<T, void, undefined>;

/** The generator of `make`, whose signal aborts with the given one, and when the generator is ended from outside. */
export function endable<T>(
  signal: AbortSignal | undefined,
  make: (signal: AbortSignal, ended: AbortSignal) => AsyncGenerator<T, void, undefined>,
): Endable<T> {
  const ended = new AbortController();
  const either = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
  const items = make(either, ended.signal);
  return {
    next: () => items.next(),
    return: () => {
      ended.abort();
      return items.return();
    },
    throw: (error: unknown) => {
      ended.abort();
      return items.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    async [Symbol.asyncDispose]() {
      await this.return();
    },
  };
}

/** The result of a wait; undefined when it was ended by the generator's end, which is no error. */
export async function unlessEnded<T>(ended: AbortSignal, wait: Promise<T>): Promise<T | undefined> {
  try {
    return await wait;
  } catch (error) {
    if (ended.aborted) return undefined;
    throw error;
  }
}
