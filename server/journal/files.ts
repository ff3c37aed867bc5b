/** The files of a journal, by their numbers: which are there, and how those that nobody needs any more go. */
import type { Env } from '../env/env.ts';
import { fileName, fileNumber } from './format.ts';

/** Numbers of the files that are there, rising. */
export async function journalFiles(env: Env, directory: string): Promise<number[]> {
  const numbers = (await env.fs.list(directory)).map(fileNumber).filter((number) => number !== null);
  return numbers.sort((a, b) => a - b);
}

/** Lasting when it resolves. */
export async function removeFilesBefore(env: Env, directory: string, number: number): Promise<void> {
  const old = (await journalFiles(env, directory)).filter((one) => one < number);
  for (const one of old) {
    await env.fail('journal.remove');
    await env.fs.unlink(`${directory}/${fileName(one)}`);
  }
  await env.fail('journal.remove.syncdir');
  if (old.length > 0) await env.fs.syncDirectory(directory);
}
