/** Measure one model: accuracy on every set, PLD on both splits, KL from the base. */
import type { EvaluationRecord, SetRecord } from '../run/records.ts';
import type { Worker } from '../worker/worker.ts';
import type { Asker } from './answer.ts';
import { answerSets, shareOf } from './answer-sets.ts';
import { chooseOptions } from './choices.ts';
import { type BaseSamples, type KlFromBase, measureKl, sampleAnswers } from './kl.ts';
import { measureLmEval } from './lm-eval-set.ts';
import { type MeasuredAnswers, measureOwnAnswers } from './own-answers.ts';
import { type Divergence, measureDivergence } from './pld.ts';
import type { EvaluationContext } from './prepare-evaluation.ts';
import { multipleChoiceVersion } from './scorer.ts';
import type { AnsweredSet, ChoiceSet, PreparedSet } from './sets.ts';
import { type EvaluationCall, newTally, type Tally, type TokenCounts } from './tally.ts';
import { measureTextLoss } from './text-loss.ts';

export type { EvaluationContext } from './prepare-evaluation.ts';

/** Which model stands in the worker, and in `sampler`, by default the worker. `baseSamples` are what `sampleBase` gave; null: KL is not measured. */
export type MeasuredModel = EvaluationCall & {
  readonly sampler?: Asker;
  readonly training: string;
  readonly step: number;
  readonly weightsDigest: string;
  readonly baseSamples: BaseSamples | null;
};

/** Measure the model in the worker. Throws the signal's reason when it is aborted, `TmsError` where a user's scorer fails. */
export async function evaluateModel(
  worker: Worker,
  context: EvaluationContext,
  { training, step, weightsDigest, baseSamples, sampler = worker, ...call }: MeasuredModel,
): Promise<{ record: EvaluationRecord; tokens: TokenCounts }> {
  const tally = newTally(workIn(context, baseSamples), call);
  const sets = await measureSets(worker, { ...context, sampler }, tally);
  const test = await measureDivergence(worker, context.pld.test, tally);
  const train = await measureDivergence(worker, context.pld.train, tally);
  const base = context.own.count > 0 ? context.own.base : null;
  const kl = await measureKl(worker, baseSamples ?? { samples: [] }, { base, tally });
  const textLoss = await measureTextLoss(worker, context.texts, tally);
  const own = await measureOwn(worker, { ...context, sampler }, tally);
  const found = { training, step, weightsDigest, sets, pld: { test, train }, kl };
  const record = { ...found, ...(textLoss !== null && { textLoss }), ...(own !== null && { own }) };
  return { record, tokens: tally.tokens() };
}

/** Measure the base in the worker once more on answers of another seed: what rests on sampling, and what differs by it alone. */
export async function measureAgain(
  worker: Worker,
  context: EvaluationContext,
  { sampler = worker, ...call }: EvaluationCall & { readonly sampler?: Asker } = {},
): Promise<{ again: NonNullable<EvaluationRecord['again']>; tokens: TokenCounts }> {
  const sampled = context.sets.flatMap(set => {
    const temperatures = set.temperatures.filter(temperature => temperature > 0);
    return set.kind === 'answered' && temperatures.length > 0 ? [{ ...set, temperatures }] : [];
  });
  const other = { ...context, sets: sampled, seed: (context.seed + 1) % 2 ** 32, sampler };
  const work = sampled.reduce((sum, set) => sum + workInSet(set), workInOwn(context));
  const tally = newTally(work, call);
  const sets = await measureSets(worker, other, tally);
  const own = await measureOwn(worker, other, tally);
  return { again: { sets, ...(own !== null && { own }) }, tokens: tally.tokens() };
}

function measureOwn(
  worker: Worker,
  { own, kl: prompts, ...options }: EvaluationContext & { readonly sampler: Asker },
  tally: Tally,
) {
  return measureOwnAnswers(worker, { ...own, prompts }, { ...options, tally });
}

/** While the base stands in the worker: its answers to the prompts that KL is measured on. Once for a run; keep them in a file. */
export async function sampleBase(
  worker: Worker,
  { kl, maxRows, stopIds }: EvaluationContext,
  { sampler = worker, ...call }: EvaluationCall & { readonly sampler?: Asker } = {},
): Promise<{ samples: BaseSamples; tokens: TokenCounts }> {
  const tally = newTally(2 * kl.length, call);
  const samples = await sampleAnswers(worker, kl, { sampler, maxRows, stopIds, tally });
  return { samples, tokens: tally.tokens() };
}

/** Records in the order of the sets. */
async function measureSets(
  worker: Worker,
  { sets, seed, maxRows, stopIds, model, sampler }: EvaluationContext & { readonly sampler: Asker },
  tally: Tally,
): Promise<SetRecord[]> {
  const options = { sampler, seed, maxRows, model, tally };
  const answered = sets.filter((set): set is AnsweredSet => set.kind === 'answered');
  const records = new Map<string, SetRecord>();
  for (const record of await answerSets(worker, answered, { ...options, stopIds }))
    records.set(record.name, record);
  for (const set of sets)
    if (set.kind === 'choice') records.set(set.name, recordOf(set, await chooseOptions(worker, set, tally)));
    else if (set.kind === 'lm_eval') records.set(set.name, await measureLmEval(worker, set, options));
  return sets.map(({ name }) => records.get(name) as SetRecord);
}

function recordOf({ name, role, questions }: ChoiceSet, chosen: readonly number[]): SetRecord {
  const items = questions.map(({ id, options, right, contexts }, i) => {
    const said = options.map((option, at) => (contexts === null ? option : `${contexts[at]} ${option}`));
    const answer = said[chosen[i] as number] ?? null;
    return { id, isCorrect: answer === said[right], answer }; // an option that stands there twice is right twice
  });
  return {
    name,
    role,
    scorer: 'multiple_choice',
    scorerVersion: multipleChoiceVersion,
    accuracy: shareOf(items.map(({ isCorrect }) => isCorrect)),
    sampledAccuracy: null,
    unfinished: 0,
    items,
  };
}

/** Answers to sample and sequences to score. */
function workIn(context: EvaluationContext, baseSamples: BaseSamples | null): number {
  const { sets, pld, texts } = context;
  const inSets = sets.map(workInSet);
  const samples = baseSamples?.samples.length ?? 0;
  return inSets.reduce(
    (sum, count) => sum + count,
    samples + pld.test.length + pld.train.length + texts.length + workInOwn(context),
  );
}

/** Sampled, then scored. */
function workInOwn({ own, kl }: EvaluationContext): number {
  return 2 * own.count * kl.length;
}

function workInSet(set: PreparedSet): number {
  switch (set.kind) {
    case 'answered':
      return set.questions.length * set.temperatures.length;
    case 'choice':
      return set.options.flat().length;
    case 'lm_eval':
      return set.task.requests.length;
  }
}

// An evaluation as the flat numbers of metrics.jsonl. Pure. No name is a path prefix of another: some stores make
// folders of them.

export function metricsOf({ sets, pld, kl, textLoss, own, again }: EvaluationRecord): Record<string, number> {
  return Object.assign(
    {},
    ...sets.map(metricsOfSet),
    meanOf('target', sets),
    meanOf('retention', sets),
    divergenceMetrics('test', pld.test),
    divergenceMetrics('train', pld.train),
    klMetrics('target', kl.target),
    klMetrics('retention', kl.retention),
    textLoss === undefined ? {} : { 'text/bits_per_byte': textLoss.bitsPerByte },
    ownMetrics('own', own),
    ...(again?.sets ?? []).map(({ name, accuracy }) => ({ [`again/${name}/accuracy`]: accuracy })),
    ownMetrics('again', again?.own),
  );
}

/** KL(model‖base), entropy and distinct answers of what the model says itself. */
function ownMetrics(place: 'own' | 'again', own: EvaluationRecord['own']): Record<string, number> {
  const of = (prompts: SetRecord['role'], found: MeasuredAnswers | null | undefined) =>
    found && {
      [`${place}/${prompts}_kl_per_token`]: found.perToken,
      [`${place}/${prompts}_kl_per_sequence`]: found.perSequence,
      [`${place}/${prompts}_entropy_per_token`]: found.entropyPerToken,
      ...(found.distinct !== null && { [`${place}/${prompts}_distinct`]: found.distinct }),
    };
  return { ...of('target', own?.target), ...of('retention', own?.retention) };
}

function metricsOfSet({
  name,
  scorer,
  accuracy,
  sampledAccuracy,
  unfinished,
}: SetRecord): Record<string, number> {
  return {
    [`eval/${name}/accuracy`]: accuracy,
    ...(sampledAccuracy !== null && { [`eval/${name}/accuracy_t1`]: sampledAccuracy }),
    ...(scorer !== 'multiple_choice' && { [`eval/${name}/unfinished`]: unfinished }),
  };
}

/** `target/mean` and `retention/mean`: the mean over sets, each counting the same. */
function meanOf(role: SetRecord['role'], sets: readonly SetRecord[]): Record<string, number> {
  const accuracies = sets.filter(set => set.role === role).map(({ accuracy }) => accuracy);
  if (accuracies.length === 0) return {};
  return { [`${role}/mean`]: accuracies.reduce((sum, accuracy) => sum + accuracy, 0) / accuracies.length };
}

function divergenceMetrics(split: 'test' | 'train', found: Divergence | null): Record<string, number> {
  if (found === null) return {};
  return {
    [`pld/${split}_nll`]: found.nllPerToken,
    [`pld/${split}_nll_per_sequence`]: found.nllPerSequence,
    [`pld/${split}_bits_per_byte`]: found.bitsPerByte,
  };
}

/** Of KL(base‖model). */
function klMetrics(prompts: SetRecord['role'], found: KlFromBase | null): Record<string, number> {
  if (found === null) return {};
  return {
    [`kl/${prompts}_per_token`]: found.perToken,
    [`kl/${prompts}_per_sequence`]: found.perSequence,
    ...(found.exactPerToken !== undefined && { [`kl/${prompts}_exact_per_token`]: found.exactPerToken }),
  };
}
