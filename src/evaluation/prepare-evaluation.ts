/** Everything that one run measures: made once, used at every point. */
import type { RunConfig } from '../config/schema.ts';
import { asksAsChat } from '../config/set-settings.ts';
import { UsageError } from '../errors.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { type KlPrompt, klPrompts } from './kl.ts';
import { lmEvalVersion } from './lm-eval-set.ts';
import type { OwnAnswers } from './own-answers.ts';
import type { DivergenceExample } from './pld.ts';
import { multipleChoiceVersion } from './scorer.ts';
import { type LmEvalSetup, type PreparedSet, prepareSet, type SetRole } from './sets.ts';
import { readDocuments, type TextDocument } from './text-loss.ts';

export type EvaluationContext = {
  readonly model: ModelInfo;
  readonly seed: number;
  /** Rows that are sampled at once; null: the worker's choice. */
  readonly maxRows: number | null;
  /** Ids at which answers end, ascending: those of the run, and those of the sets' chats. */
  readonly stopIds: readonly number[];
  readonly sets: readonly PreparedSet[];
  /** Examples for PLD; empty where it is not measured. */
  readonly pld: {
    readonly test: readonly DivergenceExample[];
    readonly train: readonly DivergenceExample[];
  };
  /** Prompts that the base answers for KL; empty where it is not measured. */
  readonly kl: readonly KlPrompt[];
  /** What the model says itself to these prompts at every point; no answer where it is not measured. */
  readonly own: OwnAnswers;
  /** Whether the base is measured once more on answers of another seed. */
  readonly again: boolean;
  /** Neutral documents; empty where their cross-entropy is not measured. */
  readonly texts: readonly TextDocument[];
  /** What a person should know about the questions, a sentence each. */
  readonly notes: readonly string[];
  /** Whether the chat template wrote something after the date into a question. */
  readonly readsDate: boolean;
};

export type EvaluationSettings = Pick<
  RunConfig,
  | 'model_name_or_path'
  | 'model_revision'
  | 'seed'
  | 'controls'
  | 'sampler'
  | 'eval'
  | 'retention'
  | 'pld'
  | 'kl'
  | 'text_loss'
  | 'system_prompt'
  | 'chat_template_kwargs'
  | 'split_special_tokens'
  | 'worker'
>;

/** What there is besides the configuration. */
export type EvaluationData = {
  readonly model: ModelInfo;
  /** Examples of each split, ids ascending: the first `pld.size` serve PLD, the first `kl.size` test ones KL on the target. */
  readonly train: readonly DivergenceExample[];
  readonly test: readonly DivergenceExample[];
  /** Whether training examples are chats: sets that do not say follow them. */
  readonly isChat: boolean;
  /** Text of the template used in place of the tokenizer's; null: the tokenizer's. */
  readonly chatTemplate: string | null;
  /** What the template takes for today. */
  readonly date: string;
  /** Ids at which every sampling of the run stops. */
  readonly stopIds: readonly number[];
  /** For unpacked copies of compressed files. */
  readonly cacheDirectory: string;
  /** Needed where sets are of lm-eval. */
  readonly lmEval?: LmEvalSetup | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** How many examples of each split `EvaluationData` should have. */
export function examplesNeeded({ pld, kl }: EvaluationSettings): { train: number; test: number } {
  const of = (split: 'train' | 'test') => (pld.splits.includes(split) ? pld.size : 0);
  return { train: of('train'), test: Math.max(of('test'), kl.size) };
}

/** Read, check and encode all that is measured. Throws `DataError` and `UsageError`, before anything is trained. */
export async function prepareEvaluation(
  worker: Worker,
  config: EvaluationSettings,
  data: EvaluationData,
): Promise<EvaluationContext> {
  const { model, chatTemplate, date, isChat, cacheDirectory, lmEval, signal } = data;
  const encoding = {
    model,
    lmEval,
    chatTemplate,
    templateOptions: config.chat_template_kwargs,
    splitSpecialTokens: config.split_special_tokens ?? true,
    date,
    python: config.worker.python,
    signal,
  };
  const sets: PreparedSet[] = [];
  const notes: string[] = [];
  const stopIds = new Set(data.stopIds);
  let readsDate = false;
  for (const { role, set, temperatures } of requestedSets(config)) {
    const place = {
      isChat: asksAsChat(set, isChat),
      systemPrompt: set.system_prompt ?? config.system_prompt,
      cacheDirectory,
    };
    const prepared = await prepareSet(worker, { ...place, set, role, temperatures }, encoding);
    sets.push(prepared.set);
    notes.push(...prepared.notes);
    for (const id of prepared.stopIds) stopIds.add(id);
    readsDate ||= prepared.readsDate;
  }
  const { pld } = config;
  const kl = klPrompts(sets, { ...data, seed: config.seed, size: config.kl.size });
  const of = (split: 'train' | 'test', examples: readonly DivergenceExample[]) =>
    pld.splits.includes(split) ? examples.slice(0, pld.size) : [];
  return {
    model,
    seed: config.seed,
    maxRows: config.sampler.max_rows,
    stopIds: [...stopIds].sort((a, b) => a - b),
    sets,
    pld: { test: of('test', data.test), train: of('train', data.train) },
    kl: kl.prompts,
    own: {
      count: config.kl.own_answers,
      base: { model: config.model_name_or_path, revision: config.model_revision },
    },
    again: config.controls.base_again,
    texts: await readDocuments(worker, config.text_loss, {
      cacheDirectory,
      maxPositions: model.maxPositions,
    }),
    notes: [...notes, ...kl.notes],
    readsDate,
  };
}

/** A digest of all that results depend on besides the weights and the engine: questions, ids, scorers, settings, seeds. */
export function evaluationKey(context: EvaluationContext): string {
  return sha256OfRecord([context.seed, context.stopIds, Object.values(evaluationDigests(context))]);
}

/** The same by what is measured: a digest of each set, of the examples for PLD and of the prompts for KL. */
export function evaluationDigests({ sets, pld, kl, own, texts }: EvaluationContext): Record<string, string> {
  const measured = (examples: readonly DivergenceExample[]) =>
    examples.map(({ ids, promptLength, learned, completionBytes }) => [
      promptLength,
      completionBytes,
      ...ids,
      ...learned,
    ]);
  const digests = sets.map(
    set => [`evaluation set ${set.name} (${set.path})`, sha256OfRecord(keyOfSet(set))] as const,
  );
  return {
    ...Object.fromEntries(digests),
    'the examples for PLD': sha256OfRecord([measured(pld.test), measured(pld.train)]),
    'the prompts for KL': sha256OfRecord(kl.map(({ prompt, ...rest }) => ({ ...rest, prompt: [...prompt] }))),
    ...(own.count > 0 && { 'the number of own answers': sha256OfRecord([own.count]) }),
    ...(texts.length > 0 && {
      'the texts of text_loss': sha256OfRecord(texts.map(({ id, ids, bytes }) => [id, bytes, ...ids])),
    }),
  };
}

function keyOfSet(set: PreparedSet): object {
  const { name, role, temperatures, maxNewTokens, stopTexts } = set;
  const records = set.questions.map(({ id, gold }) => ({ id, gold }));
  return { name, role, temperatures, maxNewTokens, stopTexts, records, ...askedIn(set) };
}

function askedIn(set: PreparedSet): object {
  switch (set.kind) {
    case 'answered':
      return { scorer: set.scorer.key, prompts: set.prompts.map(ids => [...ids]) };
    case 'choice':
      return {
        scorer: `multiple_choice ${multipleChoiceVersion}`,
        options: set.options.map(options => options.map(({ ids, start, end }) => [start, end, ...ids])),
        right: set.questions.map(({ right }) => right),
      };
    case 'lm_eval': {
      const { version, tasks, metric, digest } = set.task;
      return { scorer: `lm_eval ${lmEvalVersion}, ${version}, ${metric}`, tasks, digest };
    }
  }
}

function requestedSets(config: EvaluationSettings) {
  const of = (block: 'eval' | 'retention', role: SetRole) => {
    const temperatures = checkTemperatures(block, config[block].temperatures);
    return config[block].sets.map(set => ({ set, role, temperatures }));
  };
  return [...of('eval', 'target'), ...of('retention', 'retention')];
}

/** A record has one accuracy, and beside it the one at temperature 1. */
function checkTemperatures(block: string, given: readonly number[]): number[] {
  const temperatures = [...new Set(given)].sort((a, b) => a - b);
  if (temperatures.length === 1 || (temperatures.length === 2 && temperatures[1] === 1)) return temperatures;
  throw new UsageError(`${block}.temperatures is [${given.join(', ')}]: that cannot be reported`, {
    fix: 'give one temperature, such as [0], or a lower one and 1, such as [0, 1]',
  });
}
