/** The samplers that a configuration asks for, and how each is started. */
import { resolve } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { Samplers, type StartSampler } from '../training/samplers.ts';
import { clientKeyFile, keptKeyPair } from '../worker/keys.ts';
import { connectWorker, type Endpoint } from '../worker/remote.ts';
import { startWorker } from '../worker/start.ts';
import { Worker } from '../worker/worker.ts';
import type { Surroundings } from './prepare.ts';

type Needs = Pick<Surroundings, 'startSampler' | 'progress' | 'home'>;

/** How many there are beside the worker that trains; null: none, that one samples too. */
export function samplersAsked({ workers, endpoints }: RunConfig['sampler']): number | null {
  return endpoints?.length ?? workers;
}

/** Null: the worker that trains samples too. They start when they are first asked; close them. */
export function samplersOf(config: RunConfig, needs: Needs): Samplers | null {
  const count = samplersAsked(config.sampler);
  if (count === null) return null;
  const say = (line: string) => needs.progress.say(line);
  return new Samplers({ count, start: needs.startSampler ?? startFor(config, needs), say });
}

function startFor({ sampler, worker, output_dir }: RunConfig, { progress, home }: Needs): StartSampler {
  const { endpoints } = sampler;
  if (endpoints === null)
    return () => startWorker({ python: worker.python ?? undefined, report: line => progress.say(line) });
  const keys = keptKeyPair(clientKeyFile(home));
  const shared = [resolve(output_dir), resolve(home)]; // where weights lie that are to be loaded there
  return async index => new Worker(await connectWorker({ ...(endpoints[index] as Endpoint), keys, shared }));
}
