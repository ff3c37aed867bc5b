/** JSON bodies in and out, and bytes in. */
import { limits, mediaTypes } from '@transfer-queue/core/protocol';
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { StoreError } from '../errors.ts';
import { headerLines, jsonHeaders, type HeaderLines } from './answer.ts';
import type { BodySink, Exchange } from './exchange.ts';

/** Lets nobody send a form in the name of a browser's user: a JSON body says that it is one. */
function checkType(exchange: Exchange, wanted: string): void {
  const given = exchange.head.contentType?.split(';')[0].trim().toLowerCase();
  if (given !== wanted) throw new StoreError('content_type_unsupported', { given: given ?? null, wanted });
}

export function checkArrowType(exchange: Exchange): void {
  checkType(exchange, mediaTypes.arrow);
  if (exchange.head.contentLength === 0) throw new StoreError('length_required');
}

/** Resolves with the body of a JSON route, checked against its schema. */
export async function receiveJson<S extends TSchema>(exchange: Exchange, schema: S): Promise<Static<S>> {
  const size = exchange.head.contentLength;
  if (size > limits.jsonBodyBytesMax)
    throw new StoreError('body_too_large', { bytes: size, limit: limits.jsonBodyBytesMax });
  if (size > 0) checkType(exchange, mediaTypes.json);
  const text = size === 0 ? '{}' : (await receiveBytes(exchange)).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StoreError('json_invalid', { reason: (error as Error).message });
  }
  const validator = validatorOf(schema);
  if (validator.Check(value)) return value as Static<S>;
  const [, [problem]] = validator.Errors(value);
  throw new StoreError('json_invalid', { at: problem.instancePath, reason: problem.message });
}

/** By schema, each compiled at its first use: a check of a claim then takes a tenth of the time. */
const validators = new Map<TSchema, Validator>();

function validatorOf(schema: TSchema): Validator {
  const known = validators.get(schema);
  if (known !== undefined) return known;
  const validator = Compile(schema);
  validators.set(schema, validator);
  return validator;
}

export function checkRawType(exchange: Exchange): void {
  checkType(exchange, mediaTypes.raw);
}

/** Resolves with the whole body, in memory of its own: whoever asks has checked how long it is. */
export function receiveBytes(exchange: Exchange): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.allocUnsafe(exchange.head.contentLength);
    let received = 0;
    const sink: BodySink = {
      next: () => bytes.subarray(received),
      wrote: (size) => {
        received += size;
      },
      end: () => resolve(bytes),
      abort: (reason) => reject(new StoreError('request_timeout', { reason })),
    };
    exchange.receive(sink);
  });
}

export function respondJson(exchange: Exchange, value: unknown, headers: HeaderLines = jsonHeaders): void {
  exchange.respond(200, headers, Buffer.from(JSON.stringify(value)));
}

/** Header lines of a JSON answer with more headers. */
export function jsonWith(...namesAndValues: readonly string[]): HeaderLines {
  return headerLines('Content-Type', mediaTypes.json, ...namesAndValues);
}
