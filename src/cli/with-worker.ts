/** A worker for the work of one command, which signals stop at a safe point. */
import type { RunConfig } from '../config/schema.ts';
import type { Progress } from '../training/run.ts';
import { untilStopped } from '../training/until-stopped.ts';
import { startWorker } from '../worker/start.ts';
import type { Worker } from '../worker/worker.ts';
import { listenForStop } from './interrupt.ts';
import { type CliContext, terminalProgress } from './terminal.ts';

/** What the work is done with. */
export type AtWork = { readonly worker: Worker; readonly progress: Progress; readonly signal: AbortSignal };

/** Start a worker, do `work`, close the worker, then do what `after` does; signals are heard until that is done. */
export async function withStoppableWorker<T>(
  config: RunConfig,
  context: CliContext,
  work: (at: AtWork) => Promise<T>,
  after: (result: T) => Promise<void>,
): Promise<void> {
  const { terminal, env } = context;
  terminal.goOnUnread(); // the results are files: a run whose progress nobody reads any more goes on
  const progress = terminalProgress(terminal);
  const stop = listenForStop(line => progress.say(line), env);
  try {
    const { signal } = stop;
    const starting = startWorker(workerOptions(config, context));
    const worker = await untilStopped(signal, starting, late => late.close());
    const result = await work({ worker, progress, signal }).finally(() => {
      progress.clear();
      return worker.close();
    });
    await after(result);
  } finally {
    stop.release();
  }
}

/** As the configuration says; with what the worker logs where the user asks for it. */
export function workerOptions(
  { worker }: RunConfig,
  { env, terminal }: CliContext,
): Parameters<typeof startWorker>[0] {
  const isVerbose = env.TMS_LOG_LEVEL === 'debug';
  return {
    python: worker.python ?? undefined,
    report: line => terminal.note(line),
    ...(isVerbose ? { onLog: (line: string) => terminal.note(`worker: ${line}`) } : {}),
  };
}
