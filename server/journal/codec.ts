/** What a codec of events is, and what several of them share. */
import { FormatError, type ByteReader, type ByteWriter } from './bytes.ts';
import type { JournalEvent } from './events.ts';

export interface Codec<E extends JournalEvent> {
  write(out: ByteWriter, event: E): void;
  read(source: ByteReader): E;
}

/** Bytes of a text that is empty. */
const TEXT_SIZE_MIN = 4;

export function writeTexts(out: ByteWriter, texts: readonly string[]): void {
  out.u32(texts.length);
  for (const text of texts) out.text(text);
}

export function readTexts(source: ByteReader): string[] {
  const texts = new Array<string>(source.count(TEXT_SIZE_MIN));
  for (let i = 0; i < texts.length; i++) texts[i] = source.text();
  return texts;
}

export function wordOf<Word extends string>(words: readonly Word[], number: number): Word {
  if (number >= words.length) throw new FormatError(`${number} is none of ${words.join(', ')}`);
  return words[number];
}
