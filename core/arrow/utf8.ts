/**
 * Whether bytes are valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF).
 *
 * Node's own check is vectorised, ten times as fast; browsers have none that takes no copy, and get the portable one.
 * Both give the same answer, proven by a test.
 */

type Check = (bytes: Uint8Array) => boolean;
interface Host {
  readonly process?: { readonly getBuiltinModule?: (name: string) => { readonly isUtf8?: Check } | undefined };
}

const host = (globalThis as unknown as Host).process?.getBuiltinModule?.('node:buffer')?.isUtf8;

export const isUtf8: Check = host ?? isUtf8Portable;

export function isUtf8Portable(bytes: Uint8Array): boolean {
  const size = bytes.length;
  let at = 0;
  while (at < size) {
    const lead = bytes[at++];
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (at + more > size) return false;
    // The first continuation byte rules out what could be said shorter, surrogates and what lies beyond U+10FFFF.
    const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    if (bytes[at] < least || bytes[at] > most) return false;
    for (let i = 1; i < more; i++) if ((bytes[at + i] & 0xc0) !== 0x80) return false;
    at += more;
  }
  return true;
}
