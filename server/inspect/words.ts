/** Numbers, sizes, times and lists as people read them. */
import { TICKS_PER_MS } from '../journal/format.ts';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const SHOWN_MAX = 8;

export function countText(count: number): string {
  return count.toLocaleString('en');
}

/** Three digits at least, so that sizes can be compared: `812 B`, `1.42 MiB`, `64.0 MiB`. */
export function sizeText(bytes: number): string {
  let unit = 0;
  let size = bytes;
  while (size >= 1_024 && unit < UNITS.length - 1) {
    size /= 1_024;
    unit++;
  }
  if (unit === 0) return `${bytes} B`;
  return `${size.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

/** "1 row", "3 rows". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

const dates = new Intl.DateTimeFormat('en-CA', {
  ...{ timeZone: 'UTC', hourCycle: 'h23', fractionalSecondDigits: 3 },
  ...{ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
});

/** The wall clock of a hybrid timestamp, in ISO 8601 and UTC. */
export function timeText(timestamp: number): string {
  const parts = new Map(dates.formatToParts(timestamp / TICKS_PER_MS).map(({ type, value }) => [type, value]));
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
  const day = `${part('year')}-${part('month')}-${part('day')}`;
  return `${day}T${part('hour')}:${part('minute')}:${part('second')}.${part('fractionalSecond')}Z`;
}

/** A claim's number is its epoch and a counter. */
export function claimText(claim: number): string {
  return `${Math.floor(claim / 2 ** 32)}.${claim % 2 ** 32}`;
}

/** Ids as runs: `1-64, 70, 81-90`; of long lists the beginning and how many there are. */
export function idsText(ids: ArrayLike<number>): string {
  const runs: string[] = [];
  let at = 0;
  while (at < ids.length && runs.length < SHOWN_MAX) {
    let last = at;
    while (last + 1 < ids.length && ids[last + 1] === ids[last] + 1) last++;
    runs.push(last === at ? `${ids[at]}` : last === at + 1 ? `${ids[at]}, ${ids[last]}` : `${ids[at]}-${ids[last]}`);
    at = last + 1;
  }
  return at < ids.length ? `${runs.join(', ')}, ... (${countText(ids.length)})` : runs.join(', ');
}

/** The beginning of a text that is too long. */
export function clipped(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 3)}...`;
}

export function namesText(names: readonly string[]): string {
  if (names.length <= SHOWN_MAX) return names.join(', ');
  return `${names.slice(0, SHOWN_MAX).join(', ')}, ... (${countText(names.length)})`;
}
