/** pyarrow as a judge: one Python process reads many streams (see oracle.py). */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const python = here('../../../.venv/bin/python');

export interface OracleAnswer {
  readonly error?: string;
  readonly ids?: readonly number[];
  readonly types?: readonly string[];
  readonly columns?: Readonly<Record<string, readonly string[]>>;
}

/** What pyarrow says of each stream. */
export function askPyarrow(streams: readonly Uint8Array[]): Promise<OracleAnswer[]> {
  const child = spawn(python, [here('oracle.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (const stream of streams) {
    const head = new Uint8Array(new Uint32Array([stream.length]).buffer);
    child.stdin.write(head);
    child.stdin.write(stream);
  }
  child.stdin.end();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      const lines = Buffer.concat(chunks).toString().trimEnd().split('\n');
      if (code !== 0 || lines.length !== streams.length) {
        reject(new Error(`pyarrow ended with ${code} after ${lines.length} of ${streams.length} streams`));
      } else resolve(lines.map((line) => JSON.parse(line) as OracleAnswer));
    });
  });
}
