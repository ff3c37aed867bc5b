/**
 * Cuts off what files hold behind the end of their sealed segments: a recycled file may have been a larger segment's.
 *
 *   | extent | extent | extent | end .... pages of the segment that had the file before |
 *
 * Invariant: only sealed segments that nobody fills are cut, only behind their end, and only while the file is theirs.
 */
import type { Log } from '../env/env.ts';
import type { OpenFiles } from './open_files.ts';
import type { Segment } from './segment.ts';

/** Less is not worth a call. */
const TAIL_SIZE_MIN = 16 << 10;
/** Each file that a start found must be opened to learn its size: this many in one go. */
const CUT_COUNT_MAX = 64;

export class Tails {
  readonly #files: OpenFiles;
  readonly #owns: (segment: Segment) => boolean;
  readonly #log: Log;
  /** Sealed segments whose file may be longer than they are. */
  readonly #unknown = new Set<Segment>();

  /** `owns` says whether the file of its number is the segment's still: files are recycled. */
  constructor(options: { files: OpenFiles; owns: (segment: Segment) => boolean; log: Log }) {
    this.#files = options.files;
    this.#owns = options.owns;
    this.#log = options.log;
  }

  add(segment: Segment): void {
    this.#unknown.add(segment);
  }

  forget(segment: Segment): void {
    this.#unknown.delete(segment);
  }

  /** Some of the tails that are known of; call it again and again. */
  async cut(): Promise<void> {
    const ready = [...this.#unknown].filter(({ sealed, filling }) => sealed && filling === 0).slice(0, CUT_COUNT_MAX);
    for (const segment of ready) {
      // Another call may have taken it meanwhile.
      if (!this.#unknown.delete(segment) || !this.#owns(segment)) continue;
      await this.#cutOne(segment).catch((error: unknown) => {
        this.#log.warn({ err: error, segment: segment.id }, 'the end of a file remains that no segment needs');
      });
    }
  }

  async #cutOne(segment: Segment): Promise<void> {
    await this.#files.use(segment, async (file) => {
      segment.fileSize = Math.max(await file.size(), segment.end);
      if (segment.fileSize - segment.end < TAIL_SIZE_MIN) return;
      await file.truncate(segment.end);
      segment.fileSize = segment.end;
    });
  }
}
