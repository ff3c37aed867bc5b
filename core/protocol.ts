/**
 * The wire contract as data: names, headers, limits, errors, request bodies and routes of protocol version 1.
 *
 * Everything that a client, the server or a document says about the wire is read from here; `_protocol.py` and the
 * marked parts of docs/API.md are generated from it (`npm run generate`), and a test proves that they are fresh.
 *
 * Invariants: a code, once published, keeps its kind and status; a limit may rise, never fall, within a version;
 * sizes are bytes, times are milliseconds, and each name says so in its last word.
 */
export * from './contract/bodies.ts';
export * from './contract/errors.ts';
export * from './contract/limits.ts';
export * from './contract/routes.ts';
export * from './contract/words.ts';
