/**
 * Makes what is derived from core/protocol.ts: `_protocol.py` and the marked parts of docs/API.md.
 *
 *   node .ci/generate.ts           writes them
 *   import { generated }           the texts, for the test that proves them fresh
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as protocol from '../core/protocol.ts';

const root = new URL('..', import.meta.url);
const PYTHON = 'py-bindings/transferq/_protocol.py';
const API = 'docs/API.md';

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function read(path: string): string {
  return readFileSync(new URL(path, root), 'utf8');
}

// ---- Python ------------------------------------------------------------------------------------------------------

/** A JSON string is a Python string, since all of ours are printable ASCII. */
const py = (value: unknown): string => (Array.isArray(value) ? `(${value.map(py).join(', ')})` : JSON.stringify(value));

function pythonDict(name: string, type: string, entries: readonly (readonly [string, string])[]): string {
  const lines = entries.map(([key, value]) => `    ${py(key)}: ${value},\n`);
  return `${name}: Final[dict[str, ${type}]] = {\n${lines.join('')}}\n`;
}

function snakeEntries(record: Readonly<Record<string, unknown>>): (readonly [string, string])[] {
  return Object.entries(record).map(([name, value]) => [snake(name), py(value)] as const);
}

function pythonModule(): string {
  const { routes, errors } = protocol;
  const constants = [
    '"""The wire contract of protocol version 1, generated from core/protocol.ts (npm run generate); do not edit."""\n',
    'from typing import Final\n',
    [
      `PROTOCOL_VERSION: Final = ${protocol.PROTOCOL_VERSION}`,
      `TAIL_MAGIC: Final = b${py(protocol.TAIL_MAGIC)}`,
      `TAIL_SIZE: Final = ${protocol.TAIL_SIZE}`,
      `CHECKSUM_BLOCK_SIZE: Final = ${protocol.CHECKSUM_BLOCK_SIZE}`,
      `ID_END: Final = ${protocol.ID_END}`,
      `NAME_PATTERN: Final = r${py(protocol.NAME_PATTERN)}`,
      `REQUEST_ID_PATTERN: Final = r${py(protocol.REQUEST_ID_PATTERN)}`,
      `INDEX_COLUMN: Final = ${py(protocol.INDEX_COLUMN)}`,
      `ATTEMPT_COLUMN: Final = ${py(protocol.ATTEMPT_COLUMN)}`,
      `TAGS_COLUMN: Final = ${py(protocol.TAGS_COLUMN)}`,
      `KEY_TAG: Final = ${py(protocol.KEY_TAG)}`,
      `BLOB_DIGEST_SIZE: Final = ${protocol.BLOB_DIGEST_SIZE}`,
      `RESERVED_PREFIX: Final = ${py(protocol.RESERVED_PREFIX)}`,
      `ACK_LEVELS: Final = ${py(protocol.ackLevels)}`,
      `SAMPLERS: Final = ${py(protocol.samplers)}`,
      `ERROR_KINDS: Final = ${py(protocol.errorKinds)}\n`,
    ].join('\n'),
    pythonDict('MEDIA_TYPES', 'str', snakeEntries(protocol.mediaTypes)),
    pythonDict('HEADERS', 'str', snakeEntries(protocol.headers)),
    pythonDict('OUTCOMES', 'str', snakeEntries(protocol.outcomes)),
    '# Defaults of the limits; a server publishes its own at /v1/limits.\n' +
      pythonDict('LIMITS', 'int', snakeEntries(protocol.limits)),
    pythonDict('DEFAULTS', 'int | str', snakeEntries(protocol.defaults)),
    '# name -> (method, path)\n' +
      pythonDict(
        'ROUTES',
        'tuple[str, str]',
        Object.entries(routes).map(([name, { method, path }]) => [name, py([method, path])] as const),
      ),
    '# code -> (kind, HTTP status, message)\n' +
      pythonDict(
        'ERRORS',
        'tuple[str, int, str]',
        Object.entries(errors).map(([code, { kind, status, message }]) => {
          return [code, `(\n        ${py(kind)},\n        ${status},\n        ${py(message)},\n    )`] as const;
        }),
      ),
  ];
  return constants.join('\n');
}

// ---- docs/API.md -------------------------------------------------------------------------------------------------

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly type?: string;
  readonly description?: string;
  readonly anyOf?: readonly Schema[];
  readonly const?: unknown;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
}

function typeName(schema: Schema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeName).join(' or ');
  if (schema.const !== undefined) return `"${schema.const as string}"`;
  if (schema.type === 'array')
    return `[${typeName(schema.items ?? {})}]${schema.maxItems ? `, at most ${schema.maxItems}` : ''}`;
  if (schema.type === 'object' && schema.properties !== undefined) {
    return `{${Object.keys(schema.properties).join(', ')}}`;
  }
  const range =
    schema.minimum !== undefined && schema.maximum !== undefined ? ` ${schema.minimum}..${schema.maximum}` : '';
  return `${schema.type ?? 'any'}${range}`;
}

function parameterTable(schema: Schema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const needed = schema.required?.includes(name) === true ? 'required' : 'optional';
    return `| \`${name}\` | ${typeName(property)} | ${needed} | ${property.description ?? ''} |\n`;
  });
  return `| name | type | | |\n|---|---|---|---|\n${rows.join('')}`;
}

function routesPart(): string {
  const sections = Object.values(protocol.routes).map((route) => {
    const parts = [`### \`${route.method} ${route.path}\`\n`, `${route.does}\n`, `Answer: ${route.answer}.\n`];
    if ('query' in route) parts.push(`Query:\n`, parameterTable(route.query));
    if (route.body === 'arrow') parts.push('Body: an Arrow IPC stream, with or without a checksum tail.\n');
    if ('schema' in route) parts.push('JSON body:\n', parameterTable(route.schema));
    return parts.join('\n');
  });
  return sections.join('\n');
}

function errorsPart(): string {
  const rows = Object.entries(protocol.errors).map(([code, { kind, status, message }]) => {
    return `| \`${code}\` | ${status} | ${kind} | ${message} |\n`;
  });
  return `| code | status | kind | message |\n|---|---|---|---|\n${rows.join('')}`;
}

function limitsPart(): string {
  const rows = Object.entries(protocol.limits).map(
    ([name, value]) => `| \`${snake(name)}\` | ${value.toLocaleString('en')} |\n`,
  );
  return `| name | value |\n|---|---|\n${rows.join('')}`;
}

function headersPart(): string {
  return Object.values(protocol.headers)
    .map((name) => `\`${name}\``)
    .join(', ')
    .concat('\n');
}

/** Replaces what stands between `<!-- generated: name -->` and `<!-- end -->`. */
function apiDocument(current: string): string {
  const parts: Readonly<Record<string, () => string>> = {
    routes: routesPart,
    errors: errorsPart,
    limits: limitsPart,
    headers: headersPart,
  };
  return current.replace(/<!-- generated: (\w+) -->\n[^]*?<!-- end -->/g, (_, name: string) => {
    return `<!-- generated: ${name} -->\n\n${parts[name]()}\n<!-- end -->`;
  });
}

/** The derived files as they should be, by path. */
export function generated(): Readonly<Record<string, string>> {
  return { [PYTHON]: pythonModule(), [API]: apiDocument(read(API)) };
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(generated())) writeFileSync(new URL(path, root), text);
}
