/**
 * Crashes at every change of the disk: seeded lives of a node, for each op index of their disks many images of what a
 * crash may leave, each of them opened by the real `openNode` and judged.
 *
 *   seed -> life -> trace of ops + notes -> disk of op index i -> images -> open -> observe -> judge
 *             ^                                                      |
 *             `------------- the next life starts from one of them --'
 *
 * Some starts are themselves cut short at each of their changes, and so on. Everything follows from the seed.
 */
import { createHash } from 'node:crypto';
import { seededRandom, simEnv, SimFs, type DiskOp } from '../support/sim_env.ts';
import { crashImages, signature, type CrashImage } from '../support/sim/crash_images.ts';
import { carried, isPossible, isRequired, removes, type Crash, type History, type Note } from './history.ts';
import { judge, type FindingKind, type Observation } from './judge.ts';
import { FAULTS, live, type Faults, type Life, type LifeOptions, type Plant } from './life.ts';
import { observe } from './observe.ts';
import { DIR, openSimNode } from './open.ts';

export interface ExploreOptions {
  readonly seed: number;
  readonly lives?: number;
  readonly steps?: number;
  /** Images tried at one op index. */
  readonly imagesMax?: number;
  /** Op indexes from one that is tried to the next; each is tried without it. */
  readonly opsStep?: number;
  /** Ends early at so many states, or at the first violation. */
  readonly statesMax?: number;
  readonly stopsAtFirst?: boolean;
  /** How often a start is itself cut short. */
  readonly nestedChance?: number;
  readonly faults?: Partial<Faults>;
  readonly plant?: Plant;
}

/** Counted over all states, as RELIABILITY asks. */
export interface Counters {
  lives: number;
  ops: number;
  /** Images judged: of one moment, none twice. */
  states: number;
  /** Images that had to be opened: what one moment leaves, an earlier one may have left too. */
  starts: number;
  lost: number;
  duplicate: number;
  unexpected: number;
  recovered: number;
  opens_failed: number;
  /** Processes that ended themselves although no disk failed. */
  crashes: number;
}

export interface Exploration {
  readonly counters: Counters;
  /** The first violations, in words that lead back to them. */
  readonly violations: string[];
  /** Of every op and every image, in order: equal for equal seeds. */
  readonly digest: string;
}

const LIVES = 3;
const STEPS = 40;
const IMAGES_MAX = 24;
const CUTS_MAX = 12;
const VIOLATIONS_KEPT = 10;
/** Ops that may be in flight behind the next one. */
const FLYING_MAX = 6;
/** Starts that are themselves cut short: how often, how often again, how deep, and with how many images of each op. */
const NESTED_CHANCE = 0.003;
const NESTED_CHANCE_AGAIN = 0.02;
const NESTED_DEPTH = 3;
const NESTED_IMAGES = 4;
/** Longer than any image is watched: no background sync of its own. */
const NO_SYNC_MS = 1e9;
/** How often all leases are let end, to claim what is left. */
const DRAIN_CHANCE = 0.25;

export function newCounters(): Counters {
  return {
    lives: 0,
    ops: 0,
    states: 0,
    starts: 0,
    lost: 0,
    duplicate: 0,
    unexpected: 0,
    recovered: 0,
    opens_failed: 0,
    crashes: 0,
  };
}

/** Adds the counters of one exploration to those of others. */
export function addCounters(sum: Counters, more: Counters): void {
  for (const name of Object.keys(sum) as (keyof Counters)[]) sum[name] += more[name];
}

export async function explore(options: ExploreOptions): Promise<Exploration> {
  const explorer = new Explorer(options);
  await explorer.run();
  const { counters, violations } = explorer;
  return { counters, violations, digest: explorer.digest() };
}

/** Where the images of one moment belong. */
interface Place {
  readonly history: History;
  readonly at: number;
  readonly where: string;
  /** Signatures of its images that were judged. */
  readonly tried: Set<string>;
  /** Starts before this one that were cut short. */
  readonly depth: number;
  readonly kind?: Crash['kind'];
}

class Explorer {
  readonly counters = newCounters();
  readonly violations: string[] = [];
  readonly #trail = createHash('sha256');
  readonly #options: ExploreOptions;
  readonly #random: () => number;
  readonly #plant: Plant;
  /** What starts from images of the present life showed, by signature. */
  readonly #shown = new Map<string, Observation | string>();

  constructor(options: ExploreOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#plant = options.plant ?? ((env) => env);
  }

  get #isOver(): boolean {
    const { statesMax = Infinity, stopsAtFirst = false } = this.#options;
    const { counters, violations } = this;
    return counters.states >= statesMax || (stopsAtFirst && violations.length > 0);
  }

  digest(): string {
    return this.#trail.digest('hex');
  }

  async run(): Promise<void> {
    const { lives = LIVES, steps = STEPS } = this.#options;
    const random = this.#random;
    let fs = SimFs.withReserve(DIR);
    let notes: Note[] = [];
    let allDurable = true;
    const faults = { ...FAULTS, ...this.#options.faults };
    for (let life = 0; life < lives && !this.#isOver; life++) {
      const lived = await this.#live({ fs, random, life, steps, notes, allDurable, plant: this.#plant, faults });
      if (lived === null) return;
      if (lived.crash !== null) this.#report('crashes', `seed ${this.#options.seed}, life ${life}: ${lived.crash}`);
      const next = await this.#crashEverywhere(lived, fs.boot);
      if (next === null) return;
      fs = next.fs;
      notes = carried(lived.history, next.crash);
      allDurable = next.crash.kind === 'power';
    }
  }

  /** Null for a life whose start was refused, or which never ended. */
  async #live(options: LifeOptions): Promise<Life | null> {
    try {
      return await live(options);
    } catch (error) {
      this.#report('crashes', `seed ${this.#options.seed}, life ${options.life}: ${String(error)}`);
      return null;
    }
  }

  /** Tries the crashes of a life; returns one of them, in its later half, for the next life to start from. */
  async #crashEverywhere({ disk, trace, history }: Life, boot: string): Promise<{ fs: SimFs; crash: Crash } | null> {
    const { counters } = this;
    const { imagesMax = IMAGES_MAX, opsStep = 1 } = this.#options;
    counters.lives++;
    this.#shown.clear();
    const chosen = Math.floor(trace.length * (0.5 + 0.5 * this.#random()));
    let next: { fs: SimFs; crash: Crash } | null = null;
    for (const [index, op] of trace.entries()) {
      disk.apply(op);
      this.#trail.update(`${named(op)} ${'bytes' in op ? op.bytes.toString('latin1') : ''}`);
      counters.ops++;
      const isChosen = index === Math.min(chosen, trace.length - 1);
      if (index % opsStep > 0 && !isChosen) continue;
      const flying = flyingAt(trace, index + 1, disk.opCount);
      const images = crashImages({ disk, boot, flying, random: this.#random, cutsMax: CUTS_MAX });
      const at = disk.opCount;
      const tried = new Set<string>();
      const where = `seed ${this.#options.seed}, life ${history.life}, op ${index} (${named(op)})`;
      for (const image of this.#sample(images, imagesMax)) {
        if (this.#isOver) return null;
        await this.#check(image, { history, at, where, tried, depth: 0 });
      }
      if (!isChosen) continue;
      const image = images[Math.floor(this.#random() * images.length)];
      next = { fs: image.make(), crash: { kind: image.kind, at } };
    }
    return next;
  }

  /** The plain outcomes, and others by chance. */
  #sample(images: CrashImage[], max: number): CrashImage[] {
    if (images.length <= max) return images;
    const chosen = images.slice(0, 3);
    const rest = images.slice(3);
    while (chosen.length < max) chosen.push(...rest.splice(Math.floor(this.#random() * rest.length), 1));
    return chosen;
  }

  /** Starts from one image and judges what it shows. */
  async #check(image: CrashImage, place: Place): Promise<void> {
    const { counters } = this;
    const { history, at } = place;
    const where = `${place.where}, ${image.label}`;
    const fs = image.make();
    const key = signature(fs);
    if (place.tried.has(key)) return;
    place.tried.add(key);
    this.#trail.update(key);
    counters.states++;
    // A start after a power cut found nothing that was not synced: whatever ends it, only that must be there.
    const crash: Crash = { kind: place.kind ?? image.kind, at };
    let shown = this.#shown.get(key);
    if (shown === undefined) {
      shown = await this.#start(fs, crash, { ...place, where });
      this.#shown.set(key, shown);
    }
    if (typeof shown === 'string') return this.#report('opens_failed', `${where}: ${shown}`);
    const { findings, recovered } = judge(history, crash, shown);
    counters.recovered += recovered;
    for (const { kind, what } of findings) this.#report(kind, `${where}: ${kind}: ${what}`);
  }

  /** What the node shows that starts from a disk, or why none does. */
  async #start(fs: SimFs, crash: Crash, place: Place): Promise<Observation | string> {
    const { history, depth } = place;
    const { nestedChance = NESTED_CHANCE } = this.#options;
    this.counters.starts++;
    fs.pace = () => Promise.resolve();
    const nests = depth < NESTED_DEPTH && this.#random() < (depth === 0 ? nestedChance : NESTED_CHANCE_AGAIN);
    const disk = nests ? fs.record() : null;
    const env = this.#plant(simEnv({ fs, seed: crash.at }));
    try {
      const opened = await openSimNode(env, NO_SYNC_MS);
      const trace = fs.trace ?? [];
      fs.trace = null;
      try {
        if (disk !== null) await this.#cutShort({ disk, trace }, fs.boot, { ...place, kind: crash.kind });
        const retries = this.#retries(history, crash);
        return await observe({ node: opened.node, clock: env.clock, retries, drains: this.#random() < DRAIN_CHANCE });
      } finally {
        await opened.abandon();
      }
    } catch (error) {
      return `${String(error)} ${JSON.stringify((error as { details?: object }).details ?? {})}`;
    }
  }

  /** Crashes in the middle of a start. */
  async #cutShort(
    { disk, trace }: Pick<Life, 'disk' | 'trace'>,
    boot: string,
    place: Place & { kind: Crash['kind'] },
  ): Promise<void> {
    for (const [index, op] of trace.entries()) {
      disk.apply(op);
      const images = crashImages({ disk, boot, flying: [], random: this.#random, cutsMax: CUTS_MAX });
      const tried = new Set<string>();
      const where = `${place.where}, then op ${index} (${named(op)}) of the start`;
      for (const image of this.#sample(images, NESTED_IMAGES)) {
        if (this.#isOver) return;
        const kind = place.kind === 'kill' && image.kind === 'kill' ? 'kill' : 'power';
        await this.#check(image, { ...place, where, kind, tried, depth: place.depth + 1 });
      }
    }
  }

  #retries(history: History, crash: Crash): Note[] {
    const { notes } = history;
    const known = notes.filter(({ kind, requestId, claim }) => kind === 'put' && requestId !== '' && claim === null);
    const isSure = (note: Note): boolean =>
      isPossible(note, crash) &&
      isRequired(history, note, crash) &&
      !notes.some((one) => one.kind === 'drop' && isPossible(one, crash) && removes(one, note.partition, -1));
    const note = known[Math.floor(this.#random() * known.length)];
    return note !== undefined && isSure(note) ? [note] : [];
  }

  #report(kind: FindingKind | 'opens_failed' | 'crashes', what: string): void {
    this.counters[kind]++;
    if (this.violations.length < VIOLATIONS_KEPT) this.violations.push(what);
  }
}

function flyingAt(trace: readonly DiskOp[], from: number, opCount: number): Extract<DiskOp, { kind: 'write' }>[] {
  const soon = trace.slice(from, from + FLYING_MAX);
  return soon.filter((op) => op.kind === 'write' && op.begun <= opCount) as Extract<DiskOp, { kind: 'write' }>[];
}

function named(op: DiskOp): string {
  return `${op.kind} ${op.path}`;
}
