/**
 * After a crash of a simulated process its promises may fail where nobody listens any more; a real process would be
 * gone. Other rejections that nobody handles fail the tests, as ever.
 */
import { CrashError } from '../support/sim_env.ts';

export function ignoreCrashErrors(): void {
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (reason, promise) => {
    if (reason instanceof CrashError) return;
    for (const listener of listeners) listener(reason, promise);
  });
}
