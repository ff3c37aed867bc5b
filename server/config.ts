/**
 * Settings as plain data: one table says for each its flag, its environment variable, its key in a file, its default
 * and what it is for. A flag wins over the environment, the environment over the file, the file over the default.
 */
import { NAME_PATTERN } from '@transfer-queue/core/protocol';

export interface Settings {
  readonly data: string;
  readonly host: string;
  readonly port: number;
  /** Bytes of the arena. */
  readonly memory: number;
  /** Bytes of index blocks from disk that are kept. */
  readonly indexCache: number;
  /** Budgets of all partitions together; 0 for none. */
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Modules that bring samplers: `name=path` of each. */
  readonly sampler: readonly string[];
  readonly logLevel: LogLevel;
  /** Empty: no token is asked for. */
  readonly token: string;
  readonly plaintext: boolean;
  readonly syncIntervalMs: number;
  /** Bytes a second. */
  readonly scrubRate: number;
  /** Empty: made of host and port. */
  readonly advertise: string;
  readonly shards: number;
}

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

type Raw = string | number | boolean;

export interface Setting<T> {
  readonly flag: string;
  readonly env: string;
  readonly about: string;
  readonly fallback: string;
  readonly secret?: boolean;
  /** Returns the value, or throws a `ConfigError`. */
  readonly parse: (raw: string) => T;
}

/** A setting has a value that cannot be used; the message says which and what would do. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

const units: Readonly<Record<string, number>> = { '': 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30 };

export function parseSize(raw: string): number {
  const match = /^(\d+)\s*(|KiB|MiB|GiB)$/.exec(raw);
  if (match === null) throw new ConfigError(`"${raw}" is not a size such as 512MiB or 2GiB`);
  return Number(match[1]) * units[match[2]];
}

function integer(min: number, max: number): (raw: string) => number {
  return (raw) => {
    const value = /^\d+$/.test(raw) ? Number(raw) : NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`"${raw}" is not an integer from ${min} to ${max}`);
  };
}

function memorySize(raw: string): number {
  const size = parseSize(raw);
  if (size >= MEMORY_SIZE_MIN && size <= MEMORY_SIZE_MAX) return size;
  throw new ConfigError(`"${raw}" is not a size from 32MiB to 64GiB`);
}

function indexCacheSize(raw: string): number {
  const size = parseSize(raw);
  if (size >= INDEX_CACHE_SIZE_MIN && size <= INDEX_CACHE_SIZE_MAX) return size;
  throw new ConfigError(`"${raw}" is not a size from 4MiB to 512MiB`);
}

function scrubRate(raw: string): number {
  const size = parseSize(raw);
  if (size >= SCRUB_RATE_MIN && size <= SCRUB_RATE_MAX) return size;
  throw new ConfigError(`"${raw}" is not a size from 1MiB to 1GiB`);
}

function budgetSize(raw: string): number {
  const size = parseSize(raw);
  if (Number.isSafeInteger(size)) return size;
  throw new ConfigError(`"${raw}" is not a size below 2^53 bytes`);
}

const SCRUB_RATE_MIN = 1 << 20;
const SCRUB_RATE_MAX = 1 << 30;

/** The index lies in the memory of a WASM instance, which has 1 GiB at most. */
const INDEX_CACHE_SIZE_MIN = 4 << 20;
const INDEX_CACHE_SIZE_MAX = 512 << 20;

export const MEMORY_SIZE_MIN = 32 << 20;
export const MEMORY_SIZE_MAX = 64 * 2 ** 30;

const samplerPath = new RegExp(`^${NAME_PATTERN.slice(1, -1)}=.+$`);

/** A list with commas between: so several flags come as well. */
function samplerPaths(raw: string): readonly string[] {
  const pairs = raw === '' ? [] : raw.split(',');
  const wrong = pairs.find((pair) => !samplerPath.test(pair));
  if (wrong === undefined) return pairs;
  throw new ConfigError(`"${wrong}" is not the name and the path of a module, such as longest=./longest.mjs`);
}

function logLevel(raw: string): LogLevel {
  const level = logLevels.find((name) => name === raw);
  if (level !== undefined) return level;
  throw new ConfigError(`"${raw}" is not one of ${logLevels.join(', ')}`);
}

function yesOrNo(raw: string): boolean {
  if (raw === 'true' || raw === '1') return true;
  if (raw === 'false' || raw === '0' || raw === '') return false;
  throw new ConfigError(`"${raw}" is not true or false`);
}

function notEmpty(raw: string): string {
  if (raw !== '') return raw;
  throw new ConfigError('it must not be empty');
}

/** Whatever else a token held, no client could send it in a header. The message never repeats a secret. */
function bearerToken(raw: string): string {
  if (/^[\x21-\x7e]*$/.test(raw)) return raw;
  throw new ConfigError('a token is made of visible ASCII characters, without spaces');
}

function httpUrl(raw: string): string {
  if (raw === '' || (/^https?:/.test(raw) && URL.canParse(raw))) return raw;
  throw new ConfigError(`"${raw}" is not a URL such as http://node-1:7654`);
}

export const settings: { readonly [K in keyof Settings]: Setting<Settings[K]> } = {
  data: { flag: '--data <dir>', env: 'TQ_DATA', fallback: './tq-data', about: 'data directory', parse: notEmpty },
  host: {
    flag: '--host <address>',
    env: 'TQ_HOST',
    fallback: '127.0.0.1',
    about: 'address to listen on',
    parse: notEmpty,
  },
  port: {
    flag: '--port <port>',
    env: 'TQ_PORT',
    fallback: '7654',
    about: 'port; 0 takes a free one',
    parse: integer(0, 65_535),
  },
  memory: {
    flag: '--memory <size>',
    env: 'TQ_MEMORY',
    fallback: '1GiB',
    about: 'memory for bytes of rows',
    parse: memorySize,
  },
  indexCache: {
    flag: '--index-cache <size>',
    env: 'TQ_INDEX_CACHE',
    fallback: '64MiB',
    about: 'memory for the index of rows',
    parse: indexCacheSize,
  },
  rowsMax: {
    flag: '--rows-max <count>',
    env: 'TQ_ROWS_MAX',
    fallback: '0',
    about: 'rows of all partitions beyond which puts of new rows wait; 0 for no budget',
    parse: integer(0, Number.MAX_SAFE_INTEGER),
  },
  bytesMax: {
    flag: '--bytes-max <size>',
    env: 'TQ_BYTES_MAX',
    fallback: '0',
    about: 'bytes of all partitions beyond which puts of new rows wait; 0 for no budget',
    parse: budgetSize,
  },
  sampler: {
    flag: '--sampler <name=path...>',
    env: 'TQ_SAMPLER',
    fallback: '',
    about: 'modules that bring samplers',
    parse: samplerPaths,
  },
  logLevel: {
    flag: '--log-level <level>',
    env: 'TQ_LOG_LEVEL',
    fallback: 'info',
    about: logLevels.join(', '),
    parse: logLevel,
  },
  token: {
    flag: '--token <token>',
    env: 'TQ_TOKEN',
    fallback: '',
    about: 'bearer token that clients must show',
    secret: true,
    parse: bearerToken,
  },
  plaintext: {
    flag: '--plaintext',
    env: 'TQ_PLAINTEXT',
    fallback: 'false',
    about: 'allow an address beyond loopback without TLS',
    parse: yesOrNo,
  },
  syncIntervalMs: {
    flag: '--sync-interval-ms <ms>',
    env: 'TQ_SYNC_INTERVAL_MS',
    fallback: '1000',
    about: 'how often level os is synced to disk',
    parse: integer(10, 60_000),
  },
  scrubRate: {
    flag: '--scrub-rate <size>',
    env: 'TQ_SCRUB_RATE',
    fallback: '20MiB',
    about: 'bytes a second that the check of stored bytes reads',
    parse: scrubRate,
  },
  advertise: {
    flag: '--advertise <url>',
    env: 'TQ_ADVERTISE',
    fallback: '',
    about: 'URL that clients are told',
    parse: httpUrl,
  },
  shards: {
    flag: '--shards <count>',
    env: 'TQ_SHARDS',
    fallback: '64',
    about: 'shards of the shard map',
    parse: integer(1, 8_192),
  },
};

export interface ConfigSources {
  readonly flags: Readonly<Partial<Record<keyof Settings, Raw>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The parsed JSON of the settings file, when one was named. */
  readonly file: Readonly<Record<string, unknown>>;
}

/** The settings in force. Throws a `ConfigError` that names the setting and where its value came from. */
export function resolveSettings(sources: ConfigSources): Settings {
  const known = new Set<string>(Object.keys(settings));
  for (const key of Object.keys(sources.file)) {
    if (!known.has(key))
      throw new ConfigError(`the settings file has the unknown key "${key}"; known are ${[...known].join(', ')}`);
  }
  const values = Object.entries(settings).map(([key, setting]) => {
    const { raw, from } = rawValue(key as keyof Settings, sources);
    try {
      return [key, (setting as Setting<unknown>).parse(raw)];
    } catch (error) {
      if (error instanceof ConfigError) throw new ConfigError(`${from}: ${error.message}`);
      throw error;
    }
  });
  return checkTogether(Object.fromEntries(values) as Settings);
}

function rawValue(key: keyof Settings, { flags, env, file }: ConfigSources): { raw: string; from: string } {
  const setting = settings[key];
  if (flags[key] !== undefined) return { raw: String(flags[key]), from: setting.flag.split(' ')[0] };
  const variable = env[setting.env];
  if (variable !== undefined) return { raw: variable, from: setting.env };
  const from = `"${key}" in the settings file`;
  if (file[key] !== undefined) return { raw: rawText(file[key], from), from };
  return { raw: setting.fallback, from: 'the default' };
}

/** Numbers, words and true or false may stand in a file. */
function rawText(value: unknown, from: string): string {
  if (['string', 'number', 'boolean'].includes(typeof value)) return String(value);
  throw new ConfigError(`${from}: it is neither a word, a number nor true or false`);
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function checkTogether(values: Settings): Settings {
  if (isLoopback(values.host)) return values;
  if (values.token !== '' && values.plaintext) return values;
  throw new ConfigError(
    `--host ${values.host} is open to others: give --token (or TQ_TOKEN) and, since there is no TLS, --plaintext`,
  );
}

/** The settings as people may see them. */
export function printableSettings(values: Settings): Record<string, Raw> {
  const shown = Object.entries(values).map(([key, value]) => {
    const isSecret = settings[key as keyof Settings].secret === true;
    return isSecret ? [`${key}Given`, value !== ''] : [key, value as Raw];
  });
  return Object.fromEntries(shown) as Record<string, Raw>;
}
