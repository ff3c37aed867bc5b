/**
 * Strict decoding of the two halves of a request target.
 *
 *   /v1/partitions/train%20set/rows ? ack=disk&if_absent=1
 *   path: segments between "/"        query: name=value pairs between "&"
 *
 * Invariants: a decoded segment never holds "/", "\", a control character and is never "." or "..", so no
 * spelling of a name can mean two things to two readers. Bytes that are not UTF-8 are refused, never replaced.
 */

const forbiddenInSegment = /[/\\\p{Cc}]/u;

/** The text of one path segment, or undefined when it must be refused. */
export function decodePathSegment(segment: string): string | undefined {
  const text = decodePercent(segment);
  if (text === undefined || text === '.' || text === '..' || forbiddenInSegment.test(text)) return undefined;
  return text;
}

/** True when each segment of a raw path can be decoded and none but the last is empty. */
export function isPathDecodable(path: string): boolean {
  const segments = path.slice(1).split('/');
  return segments.every((segment, index) => {
    if (segment === '') return index === segments.length - 1;
    return decodePathSegment(segment) !== undefined;
  });
}

/** The parameters of a raw query, "+" read as a space; undefined when a name is empty, comes twice or is not UTF-8. */
export function decodeQuery(query: string): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>();
  if (query === '') return parameters;
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    const name = decodePercent((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = decodePercent((equals < 0 ? '' : pair.slice(equals + 1)).replaceAll('+', ' '));
    if (name === undefined || name === '' || value === undefined || parameters.has(name)) return undefined;
    parameters.set(name, value);
  }
  return parameters;
}

function decodePercent(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
