/** From a configuration to everything that a run needs: model, data, plan, evaluation. Nothing is written to output_dir yet. */
import { join } from 'node:path';
import { resultSettings } from '../config/changed-settings.ts';
import type { RunConfig } from '../config/schema.ts';
import { shotsFileOf } from '../evaluation/fewshot.ts';
import { type LmEvalModel, lmEvalIn } from '../evaluation/lm-eval.ts';
import { leftOutNote, readDivergenceExamples } from '../evaluation/pld.ts';
import { evaluationKey, examplesNeeded, prepareEvaluation } from '../evaluation/prepare-evaluation.ts';
import { fileOf } from '../evaluation/read-set.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { methodNamed } from '../methods/index.ts';
import type { LazySide } from '../python/lazy-side.ts';
import type { RunIdentity } from '../run/existing-run.ts';
import { disturbance, type Numerics } from '../run/numerics.ts';
import type { DataSource } from '../run/records.ts';
import { templateDateOf } from '../run/template-date.ts';
import { finishedTraining, openStore } from '../store/store.ts';
import { loadOptions, newAdapter, usesBitsandbytes } from '../training/load-options.ts';
import { meanOverTokens } from '../training/loss.ts';
import { baseRecipe, recipeOf } from '../training/recipe.ts';
import type { Progress, Run } from '../training/run.ts';
import type { StartSampler } from '../training/team.ts';
import type { ModelInfo, Result } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { diskFacts } from './check-disk.ts';
import { refuseWithoutEffect } from './data-form.ts';
import { currentNumerics, readThroughput } from './environment.ts';
import { fetchData } from './fetch-data.ts';
import { makePlan } from './make-plan.ts';
import { memoryFacts } from './memory-facts.ts';
import { type PreparedData, prepareData } from './prepare-data.ts';

export type Surroundings = {
  readonly worker: Worker;
  /** Where the configuration asks for samplers; by default as it says. */
  readonly startSampler?: StartSampler;
  /** `TMS_HOME`. */
  readonly home: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The directory of a run whose day this one takes, and whose inputs it must find as they were. */
  readonly repeats?: string;
};

/** Everything about a run but its directory and what is measured. */
export type PreparedRun = Omit<
  Run,
  'directory' | 'evaluation' | 'evaluationKey' | 'samplers' | 'background'
> & {
  /** Trainings on the gold answers that the store has: they will not be trained again. */
  readonly stored: readonly string[];
  readonly identity: Omit<RunIdentity, 'evaluationDigests'>;
  readonly prepared: PreparedData & { readonly lmEval: LazySide };
  /** Data sets of the hub and of directories, which `config` names as files. */
  readonly sources: readonly DataSource[];
  /** What chat templates take for today. */
  readonly templateDate: string;
  readonly conditions: Numerics;
  readonly status: Result<'status'>;
};

/** Throws `DataError`, `PlanError` or `WorkerError` before anything is written. */
export async function prepareRun(config: RunConfig, surroundings: Surroundings): Promise<PreparedRun> {
  const { worker, home, progress, signal } = surroundings;
  const { cache } = openStore(home);
  const begunIn = surroundings.repeats ?? config.output_dir;
  const date = templateDateOf(config.chat_template_date, begunIn);
  const place = { cacheDirectory: cache, python: config.worker.python ?? undefined, signal, begunIn };
  const data = await fetchData(config, { ...place, say: line => progress.say(line) });
  requireFiles(data.config);
  progress.say(`loading ${config.model_name_or_path}`);
  const options = { model: config.model_name_or_path, adapter: newAdapter(config), digest: true };
  const model = await worker.load({ ...loadOptions(config), ...options }, { signal });
  for (const note of model.notes) progress.say(`note: ${note}`);
  const read = await prepareData(data.config, worker, model, { cache, progress, date, signal });
  const lmEval = lmEvalIn(config.worker.python);
  const close = () => Promise.all([read.close(), lmEval.close()]).then(() => {});
  const prepared = { ...read, lmEval, close };
  try {
    const planned = await planRun(data.config, surroundings, { model, prepared });
    const identity = { ...planned.identity, configDigest: sha256OfRecord(resultSettings(config)) };
    return { ...planned, identity, sources: data.sources, templateDate: date };
  } catch (error) {
    await prepared.close();
    throw error;
  }
}

/** Of the evaluation sets, before a model is loaded. Throws `UsageError`. */
function requireFiles(config: RunConfig): void {
  for (const set of [...config.eval.sets, ...config.retention.sets]) {
    if (set.lm_eval !== null) continue;
    fileOf(set);
    shotsFileOf(set);
  }
}

async function planRun(
  config: RunConfig,
  { worker, home, progress, signal }: Surroundings,
  { model, prepared }: { model: ModelInfo; prepared: PreparedRun['prepared'] },
): Promise<Omit<PreparedRun, 'templateDate' | 'sources'>> {
  const store = openStore(home);
  const status = await worker.status({ signal });
  const conditions = currentNumerics(config, model, status);
  const numerics = { ...numericsOf(config, model, status), ...disturbance(config.output_dir, conditions) };
  const sizes = Object.fromEntries(
    Object.entries(prepared.datasets).map(([name, { rows }]) => [name, rows.length]),
  );
  const plan = makePlan(
    config,
    prepared.facts,
    { promptIdOf: prepared.train.idOf, datasets: sizes },
    {
      disk: await diskFacts(config, model, join(home, 'cache')),
      throughput: readThroughput(home, numerics),
      memory: decided => memoryFacts(config, model, { status, ...decided }),
    },
  );
  const { method, code } = methodNamed(config.method);
  const made = code === null ? [] : Object.keys(plan.methods[method.name]?.trainings ?? {});
  const ofTrainings = Object.fromEntries(made.map(name => [name, code as string]));
  const run = { config, plan, code: ofTrainings, store, worker, model, numerics, data: prepared.train };
  return {
    ...run,
    datasets: prepared.datasets,
    stored: storedTrainings(run),
    stopIds: prepared.stopIds,
    progress,
    signal,
    prepared,
    conditions,
    status,
    identity: {
      configDigest: sha256OfRecord(resultSettings(config)),
      baseDigest: sha256OfRecord([model.weightsDigest, model.filesDigest]),
      dataDigest: prepared.dataDigest,
      methodDigest: code,
    },
  };
}

/** What is measured: needs the worker and the data, and finds what is wrong with the sets. */
export async function prepareMeasures(run: PreparedRun, home: string) {
  const { config, prepared, model, worker, signal } = run;
  const needed = examplesNeeded(config);
  const left: string[] = [];
  const read = (split: 'train' | 'test', count: number) => {
    const tokens = split === 'train' ? prepared.train.tokens : prepared.testTokens;
    const note = leftOutNote(split, prepared.dataset[split], { ...config, tokens, count });
    if (note !== null) left.push(note);
    return readDivergenceExamples(prepared.dataset[split], tokens, { ...config, count });
  };
  const evaluation = await prepareEvaluation(worker, config, {
    model,
    train: await read('train', needed.train),
    test: await read('test', needed.test),
    isChat: config.as_chat || prepared.dataset.train.index.shape.includes('messages'),
    chatTemplate: prepared.chatTemplate,
    date: run.templateDate,
    stopIds: prepared.stopIds,
    cacheDirectory: join(home, 'cache'),
    lmEval: { process: prepared.lmEval, model: lmEvalModel(config, model), output: null },
    signal,
  });
  const readsDate = prepared.readsDate || evaluation.readsDate;
  refuseWithoutEffect(config, { ...prepared.form, readsDate });
  const dated = `the chat template writes the date: for this run it is ${run.templateDate} (chat_template_date)`;
  const notes = [...left, ...evaluation.notes, ...(readsDate ? [dated] : [])];
  return { evaluation: { ...evaluation, notes }, evaluationKey: evaluationKey(evaluation) };
}

function lmEvalModel(config: RunConfig, { maxPositions }: ModelInfo): LmEvalModel {
  const { model_name_or_path: model, model_revision: revision, trust_remote_code: trustRemoteCode } = config;
  return { model, revision, trustRemoteCode, maxPositions };
}

/** What the last bits of results depend on, besides weights and inputs. */
function numericsOf(
  config: RunConfig,
  model: ModelInfo,
  { versions, threads, determinism }: Result<'status'>,
): Record<string, string | number> {
  return {
    torch: versions.torch ?? '',
    transformers: versions.transformers ?? '',
    device: model.device,
    dtype: model.dtype,
    compute: model.computeDtype,
    attention: model.attention,
    layout: model.layout,
    threads: model.device === 'cpu' ? threads : 0,
    MKL_CBWR: determinism.MKL_CBWR ?? '',
    tokenBudget: model.tokenBudget,
    determinism: config.determinism,
    modelFiles: model.filesDigest,
    parameters: model.parameterCount,
    ...(usesBitsandbytes(config) && { bitsandbytes: versions.bitsandbytes ?? '' }),
    ...(model.torchCompile && { compiled: 'layers' }),
  };
}

/** Of the trainings on gold answers from the base, whose recipe is known before anything runs. */
function storedTrainings(
  run: Pick<Run, 'config' | 'plan' | 'code' | 'store' | 'model' | 'numerics' | 'data'>,
): string[] {
  return Object.entries(run.plan.trainings).flatMap(([name, plan]) => {
    const isKnown = plan.checkpoints.length > 0 && plan.startsFrom === 'base' && plan.trainsOn === 'gold';
    if (!isKnown) return [];
    const recipe = recipeOf(run, {
      from: baseRecipe(run),
      on: run.data.digest,
      loss: meanOverTokens.name,
      code: run.code[name],
      plan,
    });
    return finishedTraining(run.store, sha256OfRecord(recipe), plan) === null ? [] : [name];
  });
}
