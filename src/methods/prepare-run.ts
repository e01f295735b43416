/** From a configuration to everything that a run needs: model, data, plan, evaluation. Nothing is written to output_dir yet. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { resultSettings } from '../config/affects.ts';
import type { RunConfig } from '../config/schema.ts';
import { evaluationKey, examplesNeeded, prepareEvaluation } from '../evaluation/context.ts';
import { leftOutNote, readDivergenceExamples } from '../evaluation/divergence-examples.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { makePlan, type Plan } from '../plan/plan.ts';
import { disturbance, type Numerics } from '../run/numerics.ts';
import type { RunIdentity } from '../run/run-directory.ts';
import { templateDateOf } from '../run/template-date.ts';
import type { Progress, RunContext } from '../stages/run-context.ts';
import { loadOptions, newAdapter } from '../stages/worker-options.ts';
import { touch } from '../store/in-use.ts';
import {
  checkpointPath,
  type FinishedStage,
  openStore,
  readFinishedStage,
  type Store,
} from '../store/store.ts';
import type { ModelInfo, Result } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { refuseWithoutEffect } from './data-form.ts';
import { diskFacts } from './disk.ts';
import { currentNumerics } from './numerics.ts';
import { type PreparedData, prepareData } from './prepare-data.ts';
import { readThroughput } from './throughput.ts';

export type Surroundings = {
  readonly worker: Worker;
  /** `TMS_HOME`. */
  readonly home: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

/** Everything about a run but its directory. */
export type PreparedRun = Omit<RunContext, 'directory' | 'evaluation' | 'evaluationKey' | 'reached'> & {
  readonly identity: Omit<RunIdentity, 'evaluationDigests'>;
  readonly prepared: PreparedData;
  /** What chat templates take for today. */
  readonly templateDate: string;
  readonly numerics: Numerics;
  readonly status: Result<'status'>;
};

/** Throws `DataError`, `PlanError` or `WorkerError` before anything is written. */
export async function prepareRun(config: RunConfig, surroundings: Surroundings): Promise<PreparedRun> {
  const { worker, home, progress, signal } = surroundings;
  progress.say(`loading ${config.model_name_or_path}`);
  const options = { model: config.model_name_or_path, adapter: newAdapter(config), digest: true };
  const model = await worker.load({ ...loadOptions(config), ...options }, { signal });
  for (const note of model.notes) progress.say(`note: ${note}`);
  const { cache } = openStore(home);
  const date = templateDateOf(config.chat_template_date, config.output_dir);
  const prepared = await prepareData(config, worker, model, { cache, progress, date, signal });
  try {
    return { ...(await planRun(config, surroundings, { model, prepared })), templateDate: date };
  } catch (error) {
    await prepared.close();
    throw error;
  }
}

async function planRun(
  config: RunConfig,
  { worker, home, progress, signal }: Surroundings,
  { model, prepared }: { model: ModelInfo; prepared: PreparedData },
): Promise<Omit<PreparedRun, 'templateDate'>> {
  const store = openStore(home);
  const status = await worker.status({ signal });
  const numerics = currentNumerics(config, model, status);
  const environmentKey = {
    ...numericsOf(config, model, status),
    ...disturbance(config.output_dir, numerics),
  };
  const { plan, answers } = makePlan(config, prepared.facts, prepared.train.idOf, {
    disk: await diskFacts(config, model, join(home, 'cache')),
    throughput: readThroughput(home, environmentKey),
  });
  const recipe = sftRecipe(config, model, prepared, environmentKey);
  const sftKey = sha256OfRecord(recipe);
  return {
    config,
    plan,
    answers,
    store,
    sftKey,
    sftRecipe: recipe,
    finishedSft: usableStage(store, sftKey, plan, progress),
    worker,
    model,
    environmentKey,
    data: prepared.train,
    stopIds: prepared.stopIds,
    progress,
    signal,
    standing: { stage: 'base', step: 0, canTrain: true },
    prepared,
    numerics,
    status,
    identity: {
      configDigest: sha256OfRecord(resultSettings(config)),
      baseDigest: sha256OfRecord([model.weightsDigest, model.filesDigest]),
      dataDigest: prepared.dataDigest,
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
    heldOut: await read('test', needed.heldOut),
    isChat: config.as_chat || prepared.dataset.train.index.shape.includes('messages'),
    chatTemplate: prepared.chatTemplate,
    date: run.templateDate,
    stopIds: prepared.stopIds,
    cacheDirectory: join(home, 'cache'),
    signal,
  });
  const readsDate = prepared.readsDate || evaluation.readsDate;
  refuseWithoutEffect(config, { ...prepared.form, readsDate });
  const dated = `the chat template writes the date: for this run it is ${run.templateDate} (chat_template_date)`;
  const notes = [...left, ...evaluation.notes, ...(readsDate ? [dated] : [])];
  return { evaluation: { ...evaluation, notes }, evaluationKey: evaluationKey(evaluation) };
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
    tokenBudget: config.worker.token_budget,
    determinism: config.determinism,
    modelFiles: model.filesDigest,
    parameters: model.parameterCount,
  };
}

/** Every key that the SFT run depends on; its digest names the stage in the store. */
function sftRecipe(
  config: RunConfig,
  model: ModelInfo,
  { trainDigest }: PreparedData,
  numerics: Record<string, string | number>,
): unknown {
  const { learning_rate, lr_scheduler_type, warmup_steps, warmup_ratio, num_train_epochs, max_steps } =
    config;
  const {
    per_device_train_batch_size,
    gradient_accumulation_steps,
    weight_decay,
    adam_beta1,
    adam_beta2,
    adam_epsilon,
  } = config;
  const { max_grad_norm, optim, gradient_checkpointing, seed, data_seed } = config;
  return {
    base: model.weightsDigest,
    data: trainDigest,
    schedule: { learning_rate, lr_scheduler_type, warmup_steps, warmup_ratio, num_train_epochs, max_steps },
    batch: per_device_train_batch_size * gradient_accumulation_steps,
    optimiser: {
      optim,
      weight_decay,
      adam_beta1,
      adam_beta2,
      adam_epsilon,
      max_grad_norm,
      gradient_checkpointing,
    },
    adapter: newAdapter(config),
    seeds: { seed, data_seed },
    numerics,
  };
}

/** A stored stage serves when it has the weights of every checkpoint that this plan asks for. */
function usableStage(
  store: Store,
  key: string,
  { checkpointSteps, sft }: Plan,
  progress: Progress,
): FinishedStage | null {
  const stage = readFinishedStage(store, key);
  if (stage?.steps !== sft.steps) return null;
  const missing = [...new Set([...checkpointSteps, sft.steps])].filter(
    step => step > 0 && !existsSync(checkpointPath(store, key, step)),
  );
  if (missing.length > 0) {
    progress.say(
      `note: this SFT stage is in the store, but without its checkpoints at steps ${missing.join(', ')}: it is trained again`,
    );
    return null;
  }
  touch(checkpointPath(store, key, sft.steps));
  return stage;
}
