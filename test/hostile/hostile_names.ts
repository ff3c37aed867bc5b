/**
 * Hostile names, seeded, and the places where a caller can put one.
 *
 * A name is text as it stands in a target: percent signs and all. Where it goes into JSON or a schema it stands as it
 * is.
 */
import { EOS, schemaMessage } from '@transfer-queue/core/arrow';
import type { Request } from './client.ts';
import { streamOf, scalars } from './bodies.ts';
import { jsonRequest, putRequest } from './world.ts';

const pieces: readonly string[] = [
  ...[
    '.',
    '..',
    '...',
    '%2e',
    '%2E%2e',
    '..%2f',
    '..%5c',
    '%2e%2e%2f',
    '..;',
    '%252e%252e%252f',
    '../',
    '..\\',
    '/',
    '//',
    '\\',
  ],
  ...[
    '//evil/a',
    '/etc/passwd',
    '%2fetc%2fpasswd',
    'etc',
    'file:///etc/passwd',
    'http://evil/',
    'C:',
    '\\\\host\\share',
    '~root',
    '$HOME',
  ],
  ...['%00', '%00.tqj', 'a%00b', '%0a', '%0d%0aX-A:b', '%1b[2J', '%7f', '%', '%4', '%zz', '%u002e'],
  ...[
    'lock.sock',
    'reserve',
    'journal',
    'segments',
    '1.seg',
    '00000001.tqj',
    '.git',
    'node_modules',
    'package.json',
    'nul',
    'CON',
  ],
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'valueOf',
    'null',
    'undefined',
    'NaN',
    'true',
  ],
  ...['0', '-0', '-1', '1e9', '9007199254740993', '0x10', '1.5', '+1', '1-1-0000000000000000', '1-4294967297-'],
  ...[
    'index_id',
    'tq_attempt',
    'tq_',
    'a:seal',
    ':ack',
    ':',
    '@',
    '-',
    '--help',
    '.hidden',
    '*',
    '?',
    '#',
    '&',
    '=',
    ';ls',
    '|ls',
    '`id`',
    '$(id)',
  ],
  ...["'", '"', '{}', '[]', '<b>', ' ', '%20', '+', '\t', 'a', 'Z', '_', 'name'],
  // Composed and decomposed, full-width and overlong dots, lone surrogate, direction and joiner marks, outside the BMP.
  ...[
    '%C3%A9',
    'e%CC%81',
    '%EF%BC%8E%EF%BC%8E',
    '%E2%80%A4',
    '%C0%AE',
    '%E0%80%AF',
    '%ED%A0%80',
    '%E2%80%AE',
    '%E2%80%8D',
  ],
  ...['%EF%BB%BF', '%F0%9F%92%A9', '%F4%90%80%80', '%ff%fe', '%E2%84%AA', '\u00e9', '\u00ff'],
  ...['n'.repeat(127), 'n'.repeat(129), 'x'.repeat(2_048), 'y'.repeat(10_240), '..%2f'.repeat(100), '../'.repeat(300)],
];

/** One to three pieces in a row; every tenth is one piece as it is. */
export function hostileName(random: (end: number) => number): string {
  const count = random(10) === 0 ? 1 : 1 + random(3);
  return Array.from({ length: count }, () => pieces[random(pieces.length)]).join('');
}

const claim = { task: 't', fields: ['score'], rows_max: 1 };

/** Empties the stream of its rows, so that a good name stores nothing to speak of. */
function columnNamed(name: string): Buffer {
  const column = { ...scalars('score', 0), name };
  const batch = streamOf([], [column]).subarray(schemaMessage([column]).length, -EOS.length);
  return Buffer.concat([schemaMessage([column]), batch, EOS]);
}

/** Partition `there` has a row 0 with field `score`. */
export const places: Readonly<Record<string, (name: string) => Request>> = {
  path: (name) => ({ method: 'GET', target: name }),
  'path below /v1': (name) => ({ method: 'GET', target: `/v1/${name}` }),
  partition: (name) => ({ method: 'GET', target: `/v1/partitions/${name}` }),
  'partition to declare': (name) => jsonRequest('PUT', `/v1/partitions/${name}`, {}),
  'partition to drop': (name) => ({ method: 'DELETE', target: `/v1/partitions/${name}` }),
  'partition to seal': (name) => ({ method: 'POST', target: `/v1/partitions/${name}:seal` }),
  'partition of a put': (name) => putRequest(name, columnNamed('score')),
  'partition of a read': (name) => jsonRequest('POST', `/v1/partitions/${name}/rows:read`, { ids: [0] }),
  'partition of a claim': (name) => jsonRequest('POST', `/v1/partitions/${name}/claims`, claim),
  'partition of a cell': (name) => ({ method: 'GET', target: `/v1/partitions/${name}/rows/0/score` }),
  id: (name) => ({ method: 'GET', target: `/v1/partitions/there/rows/${name}` }),
  'id of a cell': (name) => ({ method: 'GET', target: `/v1/partitions/there/rows/${name}/score` }),
  field: (name) => ({ method: 'GET', target: `/v1/partitions/there/rows/0/${name}` }),
  'field to declare': (name) =>
    jsonRequest('PUT', '/v1/partitions/declared', { fields: { [name]: { layout: 'text' } } }),
  'field of a read': (name) => jsonRequest('POST', '/v1/partitions/there/rows:read', { ids: [0], fields: [name] }),
  'field of a claim': (name) => jsonRequest('POST', '/v1/partitions/there/claims', { ...claim, fields: [name] }),
  column: (name) => putRequest('columns', columnNamed(name)),
  task: (name) => jsonRequest('POST', '/v1/partitions/there/claims', { ...claim, task: name }),
  claim: (name) => ({ method: 'POST', target: `/v1/claims/${name}:ack` }),
  'claim to renew': (name) => jsonRequest('POST', `/v1/claims/${name}:renew`, { lease_ms: 1_000 }),
  'claim of a put': (name) => putRequest('there', columnNamed('score'), `?claim=${name}`),
  query: (name) => putRequest('there', columnNamed('score'), `?${name}`),
  'request id': (name) => ({ ...putRequest('there', columnNamed('score')), headers: { 'tq-request-id': name } }),
  host: (name) => ({ method: 'GET', target: '/v1/limits', headers: { host: name } }),
  verb: (name) => ({ method: 'POST', target: `/v1/partitions/there:${name}` }),
};
