/** A server of the real parts in this process, for limits that no caller can set. */
import { loadCore } from '@transfer-queue/core/wasm';
import { openNode } from '../../server/engine/open.ts';
import type { Node } from '../../server/engine/node.ts';
import { realEnv } from '../../server/env/real.ts';
import { App, refusal } from '../../server/http/app.ts';
import { httpLimits } from '../../server/http/limits.ts';
import { listenHttp } from '../../server/http/listener.ts';
import { temporaryDirectory } from '../support/process.ts';
import { quietLog } from '../support/sim_env.ts';

export interface SmallServer {
  readonly url: string;
  readonly node: Node;
  stop(): Promise<void>;
}

export async function startSmallServer(): Promise<SmallServer> {
  const directory = temporaryDirectory('small');
  const env = realEnv(quietLog);
  const app = new App({
    ...{ log: quietLog, token: '', shards: 1 },
    metrics: () => Promise.resolve({ contentType: 'text/plain', text: '' }),
    observe: () => undefined,
    crash: env.crash,
  });
  const { net, clock } = env;
  const where = { host: '127.0.0.1', port: 0 };
  const listener = await listenHttp({ net, clock, limits: httpLimits, handler: app.handle, refusal, ...where });
  const opened = await openNode({
    ...{ env, core: loadCore(), directory: directory.path },
    ...{ memorySize: 32 << 20, frameSize: 2 << 20, blockCacheSize: 4 << 20, indexCacheSize: 4 << 20 },
    ...{ syncIntervalMs: 1_000, memoryWaitMsMax: 1_000, putBodySizeMax: 16 << 20, answerSizeMax: 1 << 30 },
  });
  app.node = opened.node;
  return {
    url: `http://127.0.0.1:${listener.port}`,
    node: opened.node,
    async stop() {
      await listener.stop(0);
      await opened.close();
      directory.remove();
    },
  };
}
