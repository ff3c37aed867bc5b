/**
 * Claim tokens: what a consumer shows to ack, release or renew. Nobody can make one up or move one to another claim.
 *
 *   <partition>-<claim>-<16 hex digits of HMAC-SHA256(key, "<partition>-<claim>")>
 *
 * A claim number holds the epoch of the run that granted it in its high bits, so that no number comes twice.
 */
import { hmacSha256, macKey, sameBytes } from '../env/digest.ts';

const MAC_DIGITS = 16;
/** Tokens that are remembered: most come back soon, and to look one up costs less than to make its MAC anew. */
const KEPT_MAX = 4_096;
const COUNTER_END = 2 ** 32;

export interface ClaimRef {
  readonly partition: number;
  readonly claim: number;
}

export function claimNumber(epoch: number, counter: number): number {
  return epoch * COUNTER_END + counter;
}

export class ClaimTokens {
  readonly #key: ReturnType<typeof macKey>;
  /** The newest that were made. */
  readonly #made = new Map<string, ClaimRef>();
  /** The same, in a ring: a Map finds its first key only behind the places of all that it deleted. */
  readonly #ring: string[] = [];
  #ringAt = 0;

  constructor(key: Uint8Array) {
    this.#key = macKey(key);
  }

  make({ partition, claim }: ClaimRef): string {
    const body = `${partition}-${claim}`;
    const token = `${body}-${this.#mac(body)}`;
    if (this.#made.has(token)) return token;
    this.#made.set(token, { partition, claim });
    if (this.#ring.length === KEPT_MAX) this.#made.delete(this.#ring[this.#ringAt]);
    this.#ring[this.#ringAt] = token;
    this.#ringAt = (this.#ringAt + 1) % KEPT_MAX;
    return token;
  }

  /** The claim that a token names, or null for one that we did not make. */
  read(token: string): ClaimRef | null {
    const made = this.#made.get(token);
    if (made !== undefined) return made;
    const match = /^((\d{1,10})-(\d{1,16}))-([0-9a-f]{16})$/.exec(token);
    if (match === null) return null;
    const [, body, partition, claim, mac] = match;
    if (!sameBytes(Buffer.from(mac), Buffer.from(this.#mac(body)))) return null;
    return { partition: Number(partition), claim: Number(claim) };
  }

  #mac(body: string): string {
    return hmacSha256(this.#key, body).toString('hex').slice(0, MAC_DIGITS);
  }
}
