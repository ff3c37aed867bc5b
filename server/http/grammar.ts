/**
 * Character classes of RFC 9110, 9112 and 3986, one table of bits for all 256 bytes.
 *
 * Invariant: a byte above 0x7e has no bit at all, so obsolete text (obs-text) is refused wherever a class is asked for.
 */
export const CharClass = {
  /** tchar: method and header names. */
  token: 1,
  /** field-vchar without obs-text, space and tab: header values. */
  value: 2,
  /** pchar and "/", percent signs aside: what a path may hold. */
  path: 4,
  /** reg-name, IP literal and port: what Host may hold. */
  host: 8,
  digit: 16,
  hex: 32,
} as const;

const digits = '0123456789';
const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const visible = String.fromCharCode(...Array.from({ length: 0x7e - 0x20 }, (_, index) => 0x21 + index));

export const charClasses: Uint8Array = new Uint8Array(256);

function mark(characters: string, bit: number): void {
  for (let i = 0; i < characters.length; i++) charClasses[characters.charCodeAt(i)] |= bit;
}

mark(letters + digits + "!#$%&'*+-.^_`|~", CharClass.token);
mark(visible + ' \t', CharClass.value);
mark(letters + digits + "/-._~!$&'()*+,;=:@", CharClass.path);
mark(letters + digits + '-._~:[]', CharClass.host);
mark(digits, CharClass.digit);
mark(digits + 'abcdefABCDEF', CharClass.hex);

export const Char = {
  tab: 0x09,
  lf: 0x0a,
  cr: 0x0d,
  space: 0x20,
  percent: 0x25,
  comma: 0x2c,
  dot: 0x2e,
  slash: 0x2f,
  zero: 0x30,
  colon: 0x3a,
  question: 0x3f,
} as const;
