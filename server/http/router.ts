/**
 * Finds the route of a request among those of core/protocol.ts.
 *
 *   pattern   /v1/partitions/{partition}/rows:read        segments are fixed, a parameter, or a parameter with ":verb"
 *
 * Invariants: patterns of the same length never match the same path with the same method; a parameter is decoded once
 * and is never empty.
 */
import { routes, type ErrorCode, type RouteName } from '@transfer-queue/core/protocol';
import { decodePathSegment } from './target.ts';

interface Segment {
  /** Null for a fixed segment, whose text is then `suffix`. */
  readonly parameter: string | null;
  readonly suffix: string;
}

interface Pattern {
  readonly name: RouteName;
  readonly method: string;
  readonly segments: readonly Segment[];
}

export type Parameters = Readonly<Record<string, string>>;

export type Match =
  | { readonly ok: true; readonly name: RouteName; readonly parameters: Parameters }
  | { readonly ok: false; readonly code: ErrorCode; readonly allowed: readonly string[] };

const patternsByLength = new Map<number, Pattern[]>();
for (const [name, route] of Object.entries(routes)) {
  const segments = route.path.slice(1).split('/').map(segmentOf);
  const patterns = patternsByLength.get(segments.length) ?? [];
  patterns.push({ name: name as RouteName, method: route.method, segments });
  patternsByLength.set(segments.length, patterns);
}

function segmentOf(text: string): Segment {
  const match = /^\{(\w+)\}(.*)$/.exec(text);
  return match === null ? { parameter: null, suffix: text } : { parameter: match[1], suffix: match[2] };
}

/** `HEAD` is answered as `GET`. */
export function matchRoute(method: string, path: string): Match {
  const texts = path.slice(1).split('/');
  const wanted = method === 'HEAD' ? 'GET' : method;
  const allowed: string[] = [];
  for (const pattern of patternsByLength.get(texts.length) ?? []) {
    const parameters = matchSegments(pattern.segments, texts);
    if (parameters === null) continue;
    if (pattern.method === wanted) return { ok: true, name: pattern.name, parameters };
    allowed.push(pattern.method, ...(pattern.method === 'GET' ? ['HEAD'] : []));
  }
  return { ok: false, code: allowed.length > 0 ? 'method_not_allowed' : 'route_unknown', allowed };
}

function matchSegments(segments: readonly Segment[], texts: readonly string[]): Parameters | null {
  const parameters: Record<string, string> = {};
  for (let i = 0; i < segments.length; i++) {
    const { parameter, suffix } = segments[i];
    const text = texts[i];
    if (parameter === null) {
      if (text !== suffix) return null;
      continue;
    }
    if (!text.endsWith(suffix) || text.length === suffix.length) return null;
    const value = decodePathSegment(text.slice(0, text.length - suffix.length));
    // A verb that this pattern does not have belongs to another one: names hold no colon.
    if (value === undefined || value.includes(':')) return null;
    parameters[parameter] = value;
  }
  return parameters;
}
