import { describe, expect, it } from 'vitest';
import { errors } from '@transfer-queue/core/protocol';
import { answerError, clientError } from '../../ts-sdk/errors.ts';
import {
  FixRequestError,
  GiveUpError,
  RetryLaterError,
  TransferQueueError,
  WaitForOthersError,
  clientErrors,
} from '../../ts-sdk/index.ts';

const classes = {
  retry: RetryLaterError,
  fix_request: FixRequestError,
  wait: WaitForOthersError,
  give_up: GiveUpError,
};
const answer = (status: number, json: object, headers: Record<string, string> = {}): TransferQueueError =>
  answerError({ status, headers, bytes: new TextEncoder().encode(JSON.stringify(json)) });

describe('answerError', () => {
  it('has the class, kind and status of every code of the catalogue', () => {
    for (const [code, { kind, status, message }] of Object.entries(errors)) {
      const error = answer(status, { code, kind, message, details: { a: 1 } });
      expect(error).toBeInstanceOf(classes[kind]);
      expect(error).toMatchObject({ code, kind, status, name: classes[kind].name, details: { a: 1 } });
      expect(error.message).toBe(`${message} [${code}]`);
    }
  });

  it('goes by the kind that a code of a later version says', () => {
    expect(answer(409, { code: 'new', kind: 'give_up' })).toBeInstanceOf(GiveUpError);
    expect(answer(500, { code: 'new', kind: 'strange' })).toBeInstanceOf(RetryLaterError);
    expect(answer(400, { code: 'constructor' })).toMatchObject({ code: 'constructor', kind: 'fix_request' });
  });

  it('goes by the status where there is no error of ours', () => {
    expect(answer(429, {})).toMatchObject({ code: 'answer_invalid', kind: 'retry' });
    expect(answer(403, [])).toMatchObject({ code: 'answer_invalid', kind: 'fix_request' });
    expect(answerError({ status: 502, headers: {}, bytes: new Uint8Array([255]) })).toMatchObject({ kind: 'retry' });
  });

  it('reads Retry-After in seconds only', () => {
    expect(answer(503, { code: 'not_ready' }, { 'retry-after': '1.5' }).retryAfterMs).toBe(1_500);
    for (const value of ['soon', '-1', 'Wed, 21 Oct 2015 07:28:00 GMT']) {
      expect(answer(503, { code: 'not_ready' }, { 'retry-after': value }).retryAfterMs).toBeUndefined();
    }
  });
});

describe('clientError', () => {
  it('has the class of its kind, status 0 and the cause', () => {
    for (const [code, { kind }] of Object.entries(clientErrors)) {
      const cause = new Error('why');
      const error = clientError(code as keyof typeof clientErrors, undefined, { cause });
      expect(error).toBeInstanceOf(classes[kind]);
      expect(error).toBeInstanceOf(TransferQueueError);
      expect(error).toMatchObject({ code, kind, status: 0, cause });
    }
  });
});
