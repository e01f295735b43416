/** The samplers that a configuration asks for, and how each is started. */
import { resolve } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { UsageError } from '../errors.ts';
import { Samplers } from '../training/samplers.ts';
import type { StartSampler } from '../training/team.ts';
import { clientKeyFile, keptKeyPair } from '../worker/keys.ts';
import { connectWorker, type Endpoint } from '../worker/remote.ts';
import { placeWorkers, startWorker, vllmProcess, vllmStarter } from '../worker/start.ts';
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
  { progress, home, shared }: Omit<Needs, 'startSampler'> & { readonly shared?: readonly string[] },
): Promise<StartSampler> {
  const { sampler, worker, placement, output_dir } = config;
  const python = { python: worker.python ?? undefined, report: (line: string) => progress.say(line) };
  const ofVllm = { python: sampler.python, memoryShare: sampler.gpu_memory_utilization };
  const isVllm = sampler.backend === 'vllm';
  const folders = shared ?? [resolve(output_dir), resolve(home)]; // where weights lie that are to be loaded there
  const { endpoints } = sampler;
  if (endpoints !== null) {
    const keys = keptKeyPair(clientKeyFile(home));
    return async index => {
      const endpoint = endpoints[index] as Endpoint;
      const worker = new Worker(await connectWorker({ ...endpoint, keys, shared: folders }));
      await requireBackend(worker, sampler.backend, endpoint.address);
      return worker;
    };
  }
  const { engine, address, samplers } = placement;
  if (samplers.count === null) return isVllm ? vllmStarter(ofVllm) : () => startWorker(python);
  const own = isVllm ? await vllmProcess(ofVllm) : null;
  const runs = own === null ? {} : { command: [own.python, '-m', own.module], env: own.env };
  const { count, gpus } = samplers;
  return placeWorkers({ ...python, ...runs, engine, address, count, gpus, shared: folders });
}

/** Answers of two engines are kept under two names in the store: an endpoint must be what the configuration says. */
async function requireBackend(worker: Worker, backend: 'torch' | 'vllm', address: string): Promise<void> {
  const { versions } = await worker.status();
  const found = versions.vllm === undefined ? 'torch' : 'vllm';
  if (found === backend) return;
  await worker.close();
  throw new UsageError(`sampler.backend is ${backend}, and the worker at ${address} samples with ${found}`, {
    fix: `set sampler.backend to ${found}, or start it there ${backend === 'vllm' ? 'with' : 'without'} --vllm`,
  });
}
