/**
 * Child processes for the scripts of this folder. Runs on Node 20, standard library only.
 *
 * A child gets the signals that this process gets; its exit status is told in the way of a shell: 128 + number for a
 * signal. Ctrl-C in a terminal reaches the child by itself, as it does every process of the foreground group, so it is
 * not sent a second time.
 */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** @typedef {{ cwd?: string, env?: NodeJS.ProcessEnv, timeout?: number }} Options `timeout`: in ms, then it is ended */

/**
 * Runs a command on this terminal.
 * @param {readonly string[]} command
 * @param {Options} [options]
 * @returns {Promise<number>} its exit status
 */
export function run([file, ...args], options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { ...options, stdio: 'inherit' });
    const stopForwarding = forwardSignals(child);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      stopForwarding();
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

/**
 * Runs a command aside and hands over its lines as they come.
 * @param {readonly string[]} command
 * @param {Options & { onLine?: (line: string) => void }} [options]
 * @returns {Promise<{ status: number, output: string }>} stdout and stderr in the order of arrival
 */
export function capture([file, ...args], { onLine, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const stopForwarding = forwardSignals(child);
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        onLine?.(line);
      });
    }
    const end = (status) => {
      stopForwarding();
      resolve({ status, output: lines.join('\n') });
    };
    child.once('error', (error) => {
      lines.push(error.message);
      end(127);
    });
    child.once('close', (code, signal) => end(code ?? 128 + constants.signals[signal]));
  });
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {() => void} ends it
 */
function forwardSignals(child) {
  const handlers = forwarded.map((signal) => {
    const handler = () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    };
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  return () => {
    for (const remove of handlers) remove();
  };
}
