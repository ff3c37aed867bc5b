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
import { smallAnswer } from '../store/small_answer.ts';
import { AnswerWindows } from '../store/windows.ts';
import { headerLines, joinLines, type HeaderLines } from './answer.ts';
import { tqHeader, type RequestHead } from './head.ts';
import type { Exchange } from './exchange.ts';

export interface ArrowAnswer {
  readonly located: Located;
  readonly attempts: Uint16Array | null;
  /** Says the tags of the rows, as they are now; null: they were not asked for. */
  readonly tagsOf?: ((ids: Float64Array) => Promise<readonly string[]>) | null;
  /** Names and values of more headers. */
  readonly headers: readonly string[];
}

const linesWithoutTail = headerLines('Content-Type', mediaTypes.arrow, headers.outcome, outcomes.rows);
const linesWithTail = joinLines(linesWithoutTail, headerLines(headers.tail, 'xxh64'));

/** Sends the rows and closes what was located, whatever happens. */
export async function respondArrow(node: Node, exchange: Exchange, answer: ArrowAnswer): Promise<void> {
  const { located, attempts } = answer;
  try {
    const { reader, answerSizeMax } = node.parts;
    const tags = (await answer.tagsOf?.(located.ids)) ?? null;
    const pieces = await composeAnswer(reader, located, { answerSizeMax, attempts, tags });
    const tail = tqHeader(exchange.head, headers.wantTail) === '1';
    const counts = [headers.rows, String(located.ids.length), headers.lsn, String(located.lsn)];
    const lines = joinLines(tail ? linesWithTail : linesWithoutTail, headerLines(...counts, ...answer.headers));
    await send(node, exchange, lines, { located, pieces, tail });
  } finally {
    located.close();
  }
}

async function send(
  { parts: { reader, core } }: Node,
  exchange: Exchange,
  lines: HeaderLines,
  answer: { readonly located: Located; readonly pieces: PieceList; readonly tail: boolean },
): Promise<void> {
  const small = smallAnswer({ reader, core, ...answer });
  if (small !== null) return exchange.respond(200, lines, small);
  const windows = new AnswerWindows({ reader, core, ...answer });
  try {
    await windows.prepare();
    await exchange.stream(200, lines, windows);
  } finally {
    windows.close();
  }
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
  try {
    const [{ field, batches }] = located.columns;
    const { offset, length, shape } = await cellOf(node.parts.reader, located);
    const pieces = new PieceList();
    if (format === 'npy') pieces.pushCopy(npyOf(field.layout, shape));
    pieces.push(batches[0], offset, length);
    const mediaType = format === 'npy' ? mediaTypes.npy : mediaTypes.raw;
    const lines = headerLines('Content-Type', mediaType, headers.lsn, String(located.lsn));
    await send(node, exchange, lines, { located, pieces, tail: false });
  } finally {
    located.close();
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
