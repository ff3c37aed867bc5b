/** What is wrong with an answer to a bad request, in sentences; an empty list is a pass. */
import { errors, type ErrorCode } from '@transfer-queue/core/protocol';
import type { Answer } from './client.ts';

/** The only 5xx that a request of a client may meet on a sound node. */
const SERVER_ERRORS_ALLOWED = new Set([501, 503, 505, 507]);
const KEYS = 'code,details,kind,message';

/** `wanted` names the code; several are alternatives. */
export function judge(answer: Answer | null, wanted: readonly ErrorCode[]): string[] {
  if (answer === null) return ['the connection ended without an answer'];
  const { status, headers, body } = answer;
  if (status < 400) return [`it was answered with ${status}`];
  const problems: string[] = [];
  if (status >= 500 && !SERVER_ERRORS_ALLOWED.has(status)) problems.push(`status ${status} is a failure of the server`);
  if (headers.get('content-type') !== 'application/json') problems.push(`the error is ${headers.get('content-type')}`);
  return [...problems, ...bodyProblems(answer, parsed(body), wanted)];
}

/** As `judge` for HEAD, which says no more than the status. */
export function judgeHead(answer: Answer | null, wanted: readonly ErrorCode[]): string[] {
  if (answer === null) return ['the connection ended without an answer'];
  const statuses = wanted.map((code) => errors[code].status);
  const problems = statuses.includes(answer.status) ? [] : [`status ${answer.status} instead of ${statuses.join()}`];
  return answer.body.length === 0 ? problems : [...problems, 'HEAD got a body'];
}

function bodyProblems({ status, headers }: Answer, error: unknown, wanted: readonly ErrorCode[]): string[] {
  if (typeof error !== 'object' || error === null) return ['the body is not a JSON object'];
  const { code, kind, message, details } = error as Record<string, unknown>;
  const problems: string[] = [];
  if (Object.keys(error).sort().join() !== KEYS) problems.push(`the error has the keys ${Object.keys(error).join()}`);
  if (typeof code !== 'string' || !Object.hasOwn(errors, code)) return [...problems, `no such code: ${String(code)}`];
  const entry = errors[code as ErrorCode];
  if (!wanted.includes(code as ErrorCode))
    problems.push(`${code} instead of ${wanted.join(' or ')}: ${JSON.stringify(details)}`);
  if (status !== entry.status) problems.push(`${code} came with status ${status}`);
  if (kind !== entry.kind) problems.push(`${code} came with kind ${String(kind)}`);
  if (message !== entry.message) problems.push(`${code} came with another message`);
  if (typeof details !== 'object' || details === null || Array.isArray(details)) problems.push('details is no object');
  for (const [statusOf, name] of NEEDED) {
    if (status === statusOf && !headers.has(name)) problems.push(`status ${status} lacks ${name}`);
  }
  return problems;
}

/** Headers that a status must not come without: RFC 9110, and when to ask again. */
const NEEDED: readonly (readonly [status: number, name: string])[] = [
  [401, 'www-authenticate'],
  [405, 'allow'],
  [503, 'retry-after'],
  [507, 'retry-after'],
];

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}
