/** Requests over HTTP, for the commands that ask a running server. */

export interface AskRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** When to give up; the server may hold its answer back for a part of it. */
  readonly timeoutMs: number;
  /** Ends the wait for an answer before. */
  readonly ended?: AbortSignal;
}

/** Rejects with an `AskError` when there is no answer. */
export type Ask = (request: AskRequest) => Promise<{ readonly status: number; readonly body: string }>;

/** Nobody answered; the message says why. */
export class AskError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'AskError';
  }
}

/** A redirection is refused: it would take the token elsewhere. */
export const realAsk: Ask = async ({ method, url, headers, body, timeoutMs, ended }) => {
  try {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = ended === undefined ? timeout : AbortSignal.any([timeout, ended]);
    const answer = await fetch(url, { method, headers, body, signal, redirect: 'error' });
    return { status: answer.status, body: await answer.text() };
  } catch (error) {
    throw new AskError(reasonOf(error), error);
  }
};

/** What the system said lies in the cause, or in the first of several when a name has more than one address. */
function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return 'no answer in time';
  const { code, errors } = (cause ?? {}) as { code?: string; errors?: { code?: string }[] };
  return code ?? errors?.[0]?.code ?? (cause instanceof Error ? cause.message : message);
}
