/** Answers with located cells: as an Arrow stream, as `.npy`, or as bare bytes. */
import { npyHeader } from '@transfer-queue/core/arrow';
import { dtypes, elementSize, type FieldLayout } from '@transfer-queue/core/layout';
import { headers, mediaTypes, outcomes } from '@transfer-queue/core/protocol';
import type { Node } from '../engine/node.ts';
import { StoreError } from '../errors.ts';
import { composeAnswer } from '../store/answer.ts';
import { Holds } from '../store/extents.ts';
import type { Located } from '../store/locate.ts';
import { AnswerWindows } from '../store/windows.ts';
import { headerLines } from './answer.ts';
import { tqHeader, type RequestHead } from './head.ts';
import type { Exchange } from './exchange.ts';

/** Answers up to this size are copied and sent at once: cheaper than keeping their slices until they are sent. */
const COPY_SIZE_MAX = 16 << 10;

export interface ArrowAnswer {
  readonly located: Located;
  readonly attempts: Uint16Array | null;
  /** Names and values of more headers. */
  readonly headers: readonly string[];
}

/** Sends the rows and closes what was located, whatever happens. */
export async function respondArrow(node: Node, exchange: Exchange, answer: ArrowAnswer): Promise<void> {
  const { located, attempts } = answer;
  let windows: AnswerWindows | null = null;
  try {
    const { reader, core, answerSizeMax } = node.parts;
    const pieces = await composeAnswer(reader, located, { answerSizeMax, attempts });
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
  const window = await windows.next();
  const copy = Buffer.concat(window.parts, windows.size);
  window.release();
  exchange.respond(200, lines, copy);
}

/** The media type that a cell is asked for in. */
export function cellFormat(head: RequestHead): 'arrow' | 'npy' | 'raw' {
  const accepted = head.accept ?? '*/*';
  if (accepted.includes(mediaTypes.npy)) return 'npy';
  return accepted.includes(mediaTypes.raw) ? 'raw' : 'arrow';
}

/** One cell without Arrow around it: its values, behind an `.npy` header when asked for. */
export async function respondCell(
  node: Node,
  exchange: Exchange,
  located: Located,
  format: 'npy' | 'raw',
): Promise<void> {
  const holds = new Holds();
  const { reader } = node.parts;
  try {
    const { layout } = located.columns[0].field;
    const cell = await cellOf(node, located, holds);
    const mediaType = format === 'npy' ? mediaTypes.npy : mediaTypes.raw;
    const lines = headerLines('Content-Type', mediaType, headers.lsn, String(located.lsn));
    const head = format === 'npy' ? npyOf(layout, cell) : new Uint8Array();
    exchange.respond(200, lines, Buffer.concat([head, cell.bytes]));
  } finally {
    reader.release(holds);
    located.close();
  }
}

interface Cell {
  readonly bytes: Uint8Array;
  readonly shape: readonly number[];
}

async function cellOf(node: Node, located: Located, holds: Holds): Promise<Cell> {
  const { reader } = node.parts;
  const [{ field, batches, ordinals }] = located.columns;
  const { extent, regions } = located.batches[batches[0]];
  const parts = regions[field.id]!;
  const row = ordinals[0];
  const { layout } = field;
  if (layout.layout === 'dense' || layout.layout === 'scalar') {
    const shape = layout.layout === 'dense' ? layout.shape : [];
    const size = shape.reduce((product, dimension) => product * dimension, dtypes[layout.dtype].size);
    return { bytes: await reader.whole(extent, parts[0] + row * size, size, holds), shape };
  }
  const pair = await reader.whole(extent, parts[0] + row * 4, 8, holds);
  const [start, end] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  const width = elementSize(layout);
  const bytes = await reader.whole(extent, parts[2] + start * width, (end - start) * width, holds);
  if (layout.layout !== 'ragged' || layout.shape === undefined) return { bytes, shape: [end - start] };
  const ndim = layout.shape.length;
  const words = await reader.whole(extent, parts[4] + row * 4 * ndim, 4 * ndim, holds);
  return { bytes, shape: Array.from({ length: ndim }, (_, axis) => words.readInt32LE(4 * axis)) };
}

function npyOf(layout: FieldLayout, cell: Cell): Uint8Array {
  if ('dtype' in layout) return npyHeader(layout.dtype, cell.shape);
  throw new StoreError('type_unsupported', { layout: layout.layout, reason: 'only numbers have an .npy form' });
}
