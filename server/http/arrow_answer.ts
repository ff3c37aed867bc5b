/** Answers with located cells: as an Arrow stream, as `.npy`, or as bare bytes. */
import { npyHeader, PieceList } from '@transfer-queue/core/arrow';
import { elementSize, rowStride, type FieldLayout } from '@transfer-queue/core/layout';
import { headers, mediaTypes, outcomes } from '@transfer-queue/core/protocol';
import type { Node } from '../engine/node.ts';
import { StoreError } from '../errors.ts';
import { composeAnswer } from '../store/answer.ts';
import { Holds, type ExtentReader } from '../store/extents.ts';
import type { Located } from '../store/locate.ts';
import type { LiveExtent } from '../store/partition.ts';
import { AnswerWindows } from '../store/windows.ts';
import { headerLines } from './answer.ts';
import { tqHeader, type RequestHead } from './head.ts';
import type { Exchange } from './exchange.ts';

/** Answers up to this size are copied and sent at once: cheaper than keeping their slices until they are sent. */
const COPY_SIZE_MAX = 16 << 10;

export interface ArrowAnswer {
  readonly located: Located;
  readonly attempts: Uint16Array | null;
  /** Says the tags of the rows, as they are now; null: they were not asked for. */
  readonly tagsOf?: ((ids: Float64Array) => Promise<readonly string[]>) | null;
  /** Names and values of more headers. */
  readonly headers: readonly string[];
}

/** Sends the rows and closes what was located, whatever happens. */
export async function respondArrow(node: Node, exchange: Exchange, answer: ArrowAnswer): Promise<void> {
  const { located, attempts } = answer;
  let windows: AnswerWindows | null = null;
  try {
    const { reader, core, answerSizeMax } = node.parts;
    const tags = (await answer.tagsOf?.(located.ids)) ?? null;
    const pieces = await composeAnswer(reader, located, { answerSizeMax, attempts, tags });
    const tail = tqHeader(exchange.head, headers.wantTail) === '1';
    windows = new AnswerWindows({ reader, located, pieces, core, tail });
    await windows.prepare();
    const lines = headerLines(
      ...['Content-Type', mediaTypes.arrow, headers.outcome, outcomes.rows],
      ...[headers.rows, String(located.ids.length), headers.lsn, String(located.lsn)],
      ...(tail ? [headers.tail, 'xxh64'] : []),
      ...answer.headers,
    );
    await send(exchange, lines, windows);
  } finally {
    if (windows === null) located.close();
    else windows.close();
  }
}

async function send(exchange: Exchange, lines: ReturnType<typeof headerLines>, windows: AnswerWindows): Promise<void> {
  if (windows.size > COPY_SIZE_MAX) {
    await exchange.stream(200, lines, windows);
    return;
  }
  exchange.respond(200, lines, await copyOf(windows));
}

/**
 * All windows in one buffer: a small answer has several of them when its bytes are in more blocks than the cache takes.
 */
async function copyOf(windows: AnswerWindows): Promise<Buffer> {
  const copy = Buffer.allocUnsafe(windows.size);
  for (let at = 0; at < copy.length;) {
    const window = await windows.next();
    for (const part of window.parts) {
      copy.set(part, at);
      at += part.length;
    }
    window.release();
  }
  return copy;
}

/** The media type that a cell is asked for in. */
export function cellFormat(head: RequestHead): 'arrow' | 'npy' | 'raw' {
  const accepted = head.accept ?? '*/*';
  if (accepted.includes(mediaTypes.npy)) return 'npy';
  return accepted.includes(mediaTypes.raw) ? 'raw' : 'arrow';
}

/** One cell without Arrow around it: its values, behind an `.npy` header when asked for. Closes what was located. */
export async function respondCell(
  node: Node,
  exchange: Exchange,
  located: Located,
  format: 'npy' | 'raw',
): Promise<void> {
  let windows: AnswerWindows | null = null;
  try {
    const { reader, core } = node.parts;
    const [{ field, batches }] = located.columns;
    const { offset, length, shape } = await cellOf(reader, located);
    const pieces = new PieceList();
    if (format === 'npy') pieces.pushCopy(npyOf(field.layout, shape));
    pieces.push(batches[0], offset, length);
    windows = new AnswerWindows({ reader, located, pieces, core, tail: false });
    await windows.prepare();
    const mediaType = format === 'npy' ? mediaTypes.npy : mediaTypes.raw;
    await send(exchange, headerLines('Content-Type', mediaType, headers.lsn, String(located.lsn)), windows);
  } finally {
    if (windows === null) located.close();
    else windows.close();
  }
}

/** Where the values of a cell lie in the extent of its batch. */
interface Cell {
  readonly offset: number;
  readonly length: number;
  readonly shape: readonly number[];
}

async function cellOf(reader: ExtentReader, located: Located): Promise<Cell> {
  const [{ field, batches, ordinals }] = located.columns;
  const { extent, regions } = located.batches[batches[0]];
  const parts = regions[field.id]!;
  const row = ordinals[0];
  const { layout } = field;
  if (layout.layout === 'dense' || layout.layout === 'scalar') {
    const shape = layout.layout === 'dense' ? layout.shape : [];
    const length = rowStride(layout);
    return { offset: parts[0] + row * length, length, shape };
  }
  const [start, end] = await int32s(reader, extent, parts[0] + row * 4, 2);
  const width = elementSize(layout);
  const place = { offset: parts[2] + start * width, length: (end - start) * width };
  if (layout.layout !== 'ragged' || layout.shape === undefined) return { ...place, shape: [end - start] };
  const ndim = layout.shape.length;
  return { ...place, shape: await int32s(reader, extent, parts[4] + row * 4 * ndim, ndim) };
}

async function int32s(reader: ExtentReader, extent: LiveExtent, offset: number, count: number): Promise<number[]> {
  const holds = new Holds();
  try {
    const words = await reader.whole(extent, offset, 4 * count, holds);
    return Array.from({ length: count }, (_, i) => words.readInt32LE(4 * i));
  } finally {
    reader.release(holds);
  }
}

function npyOf(layout: FieldLayout, shape: readonly number[]): Uint8Array {
  if ('dtype' in layout) return npyHeader(layout.dtype, shape);
  throw new StoreError('type_unsupported', { layout: layout.layout, reason: 'only numbers have an .npy form' });
}
