/** The samplers that a configuration asks for, and how each is started. */
import { resolve } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { Samplers } from '../training/samplers.ts';
import type { StartSampler } from '../training/team.ts';
import { clientKeyFile, keptKeyPair } from '../worker/keys.ts';
import { connectWorker, type Endpoint } from '../worker/remote.ts';
import { placeWorkers, startWorker, vllmStarter } from '../worker/start.ts';
import { Worker } from '../worker/worker.ts';
import type { Surroundings } from './prepare.ts';

type Needs = Pick<Surroundings, 'startSampler' | 'progress' | 'home'>;

/** How many there are beside the worker that trains; null: none, that one samples too. */
export function samplersAsked({
  sampler,
  placement,
}: Pick<RunConfig, 'sampler' | 'placement'>): number | null {
  const ownDefault = sampler.backend === 'vllm' ? 1 : null;
  return sampler.endpoints?.length ?? placement.samplers.count ?? sampler.workers ?? ownDefault;
}

/** Null: the worker that trains samples too. They start when they are first asked; close them. Throws where they cannot be started here. */
export async function samplersOf(config: RunConfig, needs: Needs): Promise<Samplers | null> {
  const count = samplersAsked(config);
  if (count === null) return null;
  const say = (line: string) => needs.progress.say(line);
  const start = needs.startSampler ?? (await starterOf(config, needs));
  return new Samplers({ count, start, staysAlive: config.sampler.keep_alive, say });
}

/** How each is started, where the configuration asks for samplers; else as if it asked for one here. */
export async function starterOf(
  config: RunConfig,
  { progress, home }: Omit<Needs, 'startSampler'>,
): Promise<StartSampler> {
  const { sampler, worker, placement, output_dir } = config;
  const python = { python: worker.python ?? undefined, report: (line: string) => progress.say(line) };
  if (sampler.backend === 'vllm') return vllmStarter(sampler.python);
  const shared = [resolve(output_dir), resolve(home)]; // where weights lie that are to be loaded there
  const { endpoints } = sampler;
  if (endpoints !== null) {
    const keys = keptKeyPair(clientKeyFile(home));
    return async index =>
      new Worker(await connectWorker({ ...(endpoints[index] as Endpoint), keys, shared }));
  }
  const { engine, address, samplers } = placement;
  if (samplers.count === null) return () => startWorker(python);
  return placeWorkers({ ...python, engine, address, count: samplers.count, gpus: samplers.gpus, shared });
}
