/** Weights held where they can be asked: in the worker that trains, or in samplers, which read them from a directory. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stepName } from '../run/records.ts';
import { damageOf } from '../store/weights.ts';
import { type Canary, canaryOf } from './canary.ts';
import { loadOptions, newAdapter } from './load-options.ts';
import type { Place } from './place.ts';
import type { Run } from './run.ts';
import type { Sampler } from './samplers.ts';
import type { Trainer, Weights } from './trainer.ts';

/** Ask `sampler` until `release` is called; with separate samplers, whatever the trainer does meanwhile. */
export type Held = { readonly sampler: Sampler; readonly release: () => void };

/** Below the run directory: weights that nothing else keeps, while samplers need them. */
const folder = 'samplers';

/** Make weights ready to be asked: loaded into the trainer's worker where there are no samplers. */
export async function holdWeights(trainer: Trainer, given: Weights): Promise<Held> {
  const { run } = trainer;
  await trainer.load(given);
  if (run.samplers === null) return inWorker(run);
  const { weights, saved } = trainer.kept(given);
  const canary = await canaryOf(run);
  if (weights.training === 'base') return inSamplers(run, basePlace(run, canary));
  for (const found of saved) {
    if (!existsSync(found.path)) continue;
    if (damageOf(found) === null) return inSamplers(run, placeAt(run, weights, { ...found, canary }));
    run.progress.say(`${found.path} is damaged: it is made again`);
    rmSync(found.path, { recursive: true, force: true });
  }
  return holdStanding(run, weights);
}

/** The same of weights that stand in the trainer's worker already, as these. */
export async function holdStanding(run: Run, weights: Weights): Promise<Held> {
  if (run.samplers === null) return inWorker(run);
  mkdirSync(run.directory.file(folder), { recursive: true });
  // A place for each asking: the same weights may be held twice at once.
  const place = mkdtempSync(run.directory.file(folder, `${weights.training}-${stepName(weights.step)}-`));
  const path = join(place, 'weights');
  const { weightsDigest } = await run.worker.save(path, { stopIds: run.stopIds });
  const held = placeAt(run, weights, { path, digest: weightsDigest, canary: await canaryOf(run) });
  return { ...inSamplers(run, held), release: () => rmSync(place, { recursive: true, force: true }) };
}

/** What a kill left. */
export function removeHeld({ directory }: Pick<Run, 'directory'>): void {
  rmSync(directory.file(folder), { recursive: true, force: true });
}

function inWorker({ worker }: Run): Held {
  return { sampler: worker, release: () => {} };
}

function inSamplers({ samplers, worker }: Run, place: Place): Held {
  return { sampler: samplers?.at(place) ?? worker, release: () => {} };
}

function basePlace(run: Run, canary: Canary): Place {
  const named = run.config.model_name_or_path;
  const model = existsSync(named) ? resolve(named) : named; // a sampler elsewhere has another working directory
  const load = {
    ...loadOptions(run.config),
    ...samplerThreads(run),
    model,
    adapter: newAdapter(run.config),
    digest: true,
  };
  return { name: 'the base', load, digest: run.model.weightsDigest, canary };
}

function placeAt(
  run: Run,
  { training, step }: Weights,
  {
    path,
    digest,
    canary,
  }: { readonly path: string; readonly digest: string | null; readonly canary: Canary },
): Place {
  const load = {
    ...loadOptions(run.config),
    ...samplerThreads(run),
    model: resolve(path),
    expectedDigest: digest,
  };
  return { name: `${training} at step ${step}`, load, digest, canary };
}

/** Processes on a CPU share its cores, unless the configuration says how many threads each has. */
function samplerThreads({ samplers, numerics, config }: Run): { readonly threads?: number } {
  const { threads } = numerics; // 0 on a GPU
  const isElsewhere = config.sampler.endpoints !== null || config.placement.engine !== 'local';
  if (
    samplers === null ||
    isElsewhere ||
    config.worker.threads !== null ||
    typeof threads !== 'number' ||
    threads === 0
  )
    return {};
  return { threads: Math.max(1, Math.floor(threads / samplers.count)) };
}

/** What the last bits of answers depend on where samplers give them, beside the numerics of the run; nothing where they are the trainer's own. */
export function samplerNumerics(run: Run): Readonly<Record<string, string | number>> {
  const { samplers, numerics, config } = run;
  if (samplers === null) return {};
  const { threads = numerics.threads } = samplerThreads(run);
  const { backend } = config.sampler;
  const elsewhere = placeOf(config);
  return {
    ...(backend !== 'torch' && { engine: backend }),
    ...(elsewhere !== null && { elsewhere }),
    ...(threads !== numerics.threads && { threads: Number(threads) }),
    ...(!samplesStrictly(run) && { samplers: samplers.count }),
  };
}

/** Whether an answer never depends on what is sampled beside it. */
export function samplesStrictly({ model, config }: Pick<Run, 'model' | 'config'>): boolean {
  return model.strictSampling && config.sampler.backend === 'torch';
}

/** Other machines and devices than the trainer's may give other last bits; null: samplers compute where it does. */
function placeOf({ sampler, placement }: Run['config']): string | null {
  const { engine, samplers } = placement;
  if (sampler.endpoints !== null) return sampler.endpoints.map(({ address }) => address).join(' ');
  return samplers.count === null ? null : `${engine}, ${samplers.gpus} GPUs each`;
}
