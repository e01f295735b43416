/** The samplers that a configuration asks for, and how each is started. */
import type { RunConfig } from '../config/schema.ts';
import { Samplers } from '../training/samplers.ts';
import { startWorker } from '../worker/start.ts';
import type { Surroundings } from './prepare.ts';

/** Null: the worker that trains samples too. They start when they are first asked; close them. */
export function samplersOf(
  { sampler, worker }: RunConfig,
  { startSampler, progress }: Pick<Surroundings, 'startSampler' | 'progress'>,
): Samplers | null {
  if (sampler.workers === null) return null;
  const say = (line: string) => progress.say(line);
  const start = () => startWorker({ python: worker.python ?? undefined, report: say });
  return new Samplers({ count: sampler.workers, start: startSampler ?? start, say });
}
