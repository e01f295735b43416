/** Measure a model that no run needs to have made: load it, ask it every suite, keep what was measured of its weights. */
import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import { asksAsChat } from '../config/set-settings.ts';
import { UsageError } from '../errors.ts';
import { evaluateModel } from '../evaluation/evaluate.ts';
import {
  type EvaluationContext,
  evaluationKey,
  prepareEvaluation,
} from '../evaluation/prepare-evaluation.ts';
import type { Question } from '../evaluation/scorer.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { readChecked, writeChecked } from '../files/read-record.ts';
import type { LazySide } from '../python/lazy-side.ts';
import { type EvaluationRecord, evaluationRecord, type SetRecord } from '../run/records.ts';
import { templateDateOf } from '../run/template-date.ts';
import { touch } from '../store/in-use.ts';
import { evaluationPath, openStore, type Store } from '../store/store.ts';
import type { Progress } from '../training/run.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { LoadOptions, Worker } from '../worker/worker.ts';
import { currentNumerics } from './environment.ts';
import { fetchData } from './fetch-data.ts';

/** What is asked of every model, and how. */
export type Measurement = {
  /** Entries of `retention.suites` and its folder of data. */
  readonly suites: readonly unknown[];
  readonly folder: string | null;
  readonly systemPrompt: string | null;
  /** Whether sets that do not say ask in the chat template; null: where the model has one. */
  readonly isChat: boolean | null;
  readonly seed: number;
  readonly worker: Worker;
  readonly lmEval: LazySide;
  readonly home: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

export type MeasuredModel = {
  readonly info: ModelInfo;
  /** Each suite's record, with its questions in the same order. */
  readonly sets: readonly { readonly record: SetRecord; readonly questions: readonly Question[] }[];
};

/** A model, and where lm-eval writes its own files, which what the store has does not bring back; null: nowhere. */
type ModelToMeasure = { readonly options: LoadOptions; readonly lmEvalOutput: string | null };

/** One after the other; all are asked the same. */
export async function measureModels(
  models: readonly ModelToMeasure[],
  measurement: Measurement,
): Promise<MeasuredModel[]> {
  const agreed = await agreeOnChat(models, measurement);
  const measured: MeasuredModel[] = [];
  for (const model of models) measured.push(await measureModel(model, agreed));
  return measured;
}

/**
 * The same measurement with one way of asking for models that are held against each other: in the chat template, or as plain text. Each is loaded
 * for a look before anything is measured. Throws `UsageError` where only some have a template and the suites leave it open.
 */
async function agreeOnChat(
  models: readonly ModelToMeasure[],
  measurement: Measurement,
): Promise<Measurement> {
  const { sets } = configOf('model', measurement).retention;
  const isOpen = sets.some(set => asksAsChat(set, true) !== asksAsChat(set, false));
  if (measurement.isChat !== null || models.length < 2 || !isOpen) return measurement;
  const { worker, progress, signal } = measurement;
  const found: { readonly model: string; readonly has: boolean }[] = [];
  for (const { options } of models) {
    progress.say(`loading ${options.model} to see whether it has a chat template`);
    const { hasChatTemplate: has } = await worker.load(options, { signal });
    found.push({ model: options.model, has });
  }
  const isChat = found.every(({ has }) => has);
  if (isChat || !found.some(({ has }) => has)) return { ...measurement, isChat };
  const facts = found.map(({ model, has }) => `${model} has ${has ? 'a' : 'no'} chat template`);
  throw new UsageError(`${facts.join(' and ')}: they would be asked different prompts`, {
    fix: '--no-chat asks all as plain text; or save a chat template with the one that has none',
  });
}

async function measureModel(
  { options, lmEvalOutput }: ModelToMeasure,
  measurement: Measurement,
): Promise<MeasuredModel> {
  const { worker, progress, signal, home } = measurement;
  progress.say(`loading ${options.model}`);
  const info = await worker.load({ ...options, digest: true }, { signal });
  for (const note of info.notes) progress.say(`note: ${note}`);
  const config = configOf(options.model, measurement);
  const numerics = { ...currentNumerics(config, info, await worker.status({ signal })), seed: config.seed };
  const place = { store: openStore(home), numerics, lmEvalOutput };
  const sets: MeasuredModel['sets'][number][] = [];
  for (const set of config.retention.sets) {
    signal.throwIfAborted();
    const one = { ...config, retention: { ...config.retention, sets: [set] } };
    sets.push(await measureSet(one, { options, info, place }, measurement));
  }
  return { info, sets };
}

/** A configuration that trains nothing. Throws `ConfigError` for a suite that does not exist or has no data. */
export function configOf(
  model: string,
  { suites, folder, systemPrompt, seed }: Pick<Measurement, 'suites' | 'folder' | 'systemPrompt' | 'seed'>,
): RunConfig {
  const input = {
    ...{ model_name_or_path: model, output_dir: '.', dataset_name: 'none.jsonl', seed },
    ...(systemPrompt !== null && { system_prompt: systemPrompt, as_chat: true }),
    retention: { suites, ...(folder !== null && { suites_path: folder }) },
    ...{ pld: { size: 0 }, kl: { size: 0 } },
  };
  return parseConfig(JSON.stringify(input), 'the suites');
}

type Place = {
  readonly store: Store;
  readonly numerics: object;
  readonly lmEvalOutput: string | null;
};
type Loaded = { readonly options: LoadOptions; readonly info: ModelInfo; readonly place: Place };

const stored = z.object({ record: evaluationRecord });

async function measureSet(config: RunConfig, loaded: Loaded, measurement: Measurement) {
  const { info, place } = loaded;
  const { worker, progress, signal } = measurement;
  const context = await prepare(config, loaded, measurement);
  for (const note of context.notes) progress.say(`note: ${note}`);
  const [set] = context.sets as [EvaluationContext['sets'][number]];
  const weightsDigest = info.weightsDigest ?? '';
  const key = { weightsDigest, files: info.filesDigest, asked: evaluationKey(context) };
  const path = evaluationPath(place.store, sha256OfRecord({ ...key, numerics: place.numerics }));
  const isNeeded = set.kind === 'lm_eval' && place.lmEvalOutput !== null;
  touch(path);
  let record: EvaluationRecord | undefined = isNeeded ? undefined : readChecked(path, stored).value?.record;
  if (record === undefined) {
    let seen = 0;
    const onProgress = ({ done, total, tokens }: { done: number; total: number; tokens: number }) => {
      progress.update(`measure ${set.name}`, done, total, tokens - seen);
      seen = tokens;
    };
    const model = { training: 'base', step: 0, weightsDigest, baseSamples: null };
    ({ record } = await evaluateModel(worker, context, { ...model, signal, onProgress }));
    writeChecked(path, { record });
  } else progress.say(`${set.name} of these weights is in the store`);
  return { record: record.sets[0] as SetRecord, questions: set.questions };
}

async function prepare(
  config: RunConfig,
  { options, info, place }: Loaded,
  { worker, lmEval, isChat, home, progress, signal }: Measurement,
): Promise<EvaluationContext> {
  const cacheDirectory = join(home, 'cache');
  const fetching = { cacheDirectory, signal, say: (line: string) => progress.say(line) };
  const local = await fetchData(config, { ...fetching, begunIn: home });
  const { model, revision = null, trustRemoteCode = false } = options;
  const output = place.lmEvalOutput === null ? null : { path: place.lmEvalOutput, name: model };
  return prepareEvaluation(worker, local.config, {
    model: info,
    train: [],
    test: [],
    isChat: isChat ?? info.hasChatTemplate,
    chatTemplate: null,
    date: templateDateOf(null, '.'),
    stopIds: info.eosTokenIds,
    cacheDirectory,
    lmEval: {
      process: lmEval,
      model: { model, revision, trustRemoteCode, maxPositions: info.maxPositions },
      output,
    },
    signal,
  });
}
