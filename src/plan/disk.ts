/** Disk that a run takes at most, in its own directory and in the store, known before anything runs. */
import type { RunConfig } from '../config/schema.ts';
import type { MethodPlan, Plan } from './plan.ts';

/** Facts about the model on disk. */
export type ModelSize = {
  readonly trainableParameters: number;
  readonly bytesPerWeight: number;
  /** Configuration and tokenizer, which lie beside the weights. */
  readonly fileBytes: number;
  readonly vocabSize: number;
};

export type DiskCost = {
  /** Final models, and the checkpoints in the store. */
  readonly weightBytes: number;
  /** Of these, the checkpoints in the store. */
  readonly checkpointBytes: number;
  /** Training states that exist at one time: weights, two float32 moments, and the reference model of the training. */
  readonly stateBytes: number;
  readonly answerBytesAtMost: number;
  /** Evaluations, the curriculum, metrics, the report. */
  readonly recordBytesAtMost: number;
  readonly inRunAtMost: number;
  readonly inStoreAtMost: number;
  readonly bytesAtMost: number;
};

type Planned = Pick<Plan, 'trainings' | 'methods' | 'data'>;
export type DiskFacts = { readonly model: ModelSize; readonly evaluationBytes: number };

const bytesPerMoment = 4;
const momentsPerWeight = 2;
/** Of what a token says, as JSON: more than the mean of any language. */
const bytesPerTokenOfText = 16;
/** A line of JSON without its ids and text. */
const bytesPerLine = 320;
const reportBytes = 8e6;

/** Every part is an upper bound. */
export function diskCost(config: RunConfig, plan: Planned, { model, evaluationBytes }: DiskFacts): DiskCost {
  const modelBytes = model.trainableParameters * model.bytesPerWeight + model.fileBytes;
  const stateBytes = bytesOfStates(config, plan, model);
  const inRun = trainingsOf(plan).length * modelBytes;
  const kept = trainingsOf(plan).reduce((sum, training) => sum + keptOf(training), 0);
  const answers = answerBytes(plan, model);
  const records = recordBytes(config, plan, { model, evaluationBytes });
  const inRunAtMost = inRun + stateBytes + answers.inRun + records.inRun;
  const inStoreAtMost = kept * modelBytes + answers.inStore + records.inStore;
  return {
    weightBytes: inRun + kept * modelBytes,
    checkpointBytes: kept * modelBytes,
    stateBytes,
    answerBytesAtMost: answers.inRun + answers.inStore,
    recordBytesAtMost: records.inRun + records.inStore,
    inRunAtMost,
    inStoreAtMost,
    bytesAtMost: inRunAtMost + inStoreAtMost,
  };
}

function trainingsOf({ trainings }: Planned) {
  return Object.values(trainings);
}

/** Weights in the store besides those of its end, which on one disk are the same files as the run's own. */
function keptOf({ checkpoints }: Planned['trainings'][string]): number {
  return checkpoints.filter(step => step > 0).length;
}

/** States of a training are removed at its end, unless all are kept; one more lies there while it is written. */
function bytesOfStates({ save_steps, save_total_limit }: RunConfig, plan: Planned, model: ModelSize): number {
  const states = trainingsOf(plan).map(({ steps, reference }) => {
    const count = save_steps === 0 ? 0 : Math.ceil(steps / save_steps) - 1;
    const bytesPerReference =
      reference === null ? 0 : reference.rate > 0 ? bytesPerMoment : model.bytesPerWeight;
    const bytesPerWeight = model.bytesPerWeight + momentsPerWeight * bytesPerMoment + bytesPerReference;
    const atOnce = save_total_limit === null ? count : Math.min(count, save_total_limit + 1);
    return atOnce * (model.trainableParameters * bytesPerWeight + model.fileBytes);
  });
  return save_total_limit === null ? states.reduce((sum, bytes) => sum + bytes, 0) : Math.max(...states);
}

/** Ids as JSON in the store, again with text in the run, and once more in five bytes a token behind their prompts, beside gold answers. */
function answerBytes({ methods, data }: Planned, model: ModelSize) {
  const parts = Object.values(methods).map(method => answerBytesOf(method, data, model));
  const sum = (key: 'inRun' | 'inStore') => parts.reduce((total, part) => total + part[key], 0);
  return { inRun: sum('inRun'), inStore: sum('inStore') };
}

function answerBytesOf(
  { sampling, answers: count = 0 }: MethodPlan,
  data: Planned['data'],
  { vocabSize }: ModelSize,
) {
  if (sampling === undefined) return { inRun: 0, inStore: 0 };
  const { maxNewTokens, redraws } = sampling;
  const tokens = maxNewTokens + 1; // an end of its own behind a stop text
  const bytesPerId = String(vocabSize).length + 1;
  const line = (perToken: number) => bytesPerLine + tokens * perToken;
  const bytesPerRow = 12 + 5 * (data.longestPrompt.tokens + tokens);
  const gold = 12 * data.trainExamples + 5 * data.trainTokens;
  return {
    inRun: count * (line(bytesPerId + bytesPerTokenOfText) + bytesPerRow) + gold,
    inStore: count * (1 + redraws) * line(bytesPerId),
  };
}

function recordBytes(config: RunConfig, plan: Planned, { model, evaluationBytes }: DiskFacts) {
  const trainings = trainingsOf(plan);
  const points = trainings.reduce((sum, { evaluationSteps }) => sum + evaluationSteps.length, 0);
  const lines = trainings.reduce((sum, { steps, visits }) => sum + steps + visits, 0);
  const klPrompts = config.kl.size * (1 + config.retention.sets.length);
  const klBytes =
    klPrompts * (config.max_length + klTokens) * (String(model.vocabSize).length + 1 + bytesPerLogprob);
  return {
    inRun: reportBytes + lines * bytesPerLine + points * evaluationBytes + klBytes,
    inStore: points * evaluationBytes + trainings.reduce((sum, { steps }) => sum + steps, 0) * bytesPerLine,
  };
}

const klTokens = 128;
const bytesPerLogprob = 24;

/** One evaluation: every item with the text of its answer. `itemsOf` gives the number of items of each set. */
export function evaluationBytes(
  { eval: target, retention }: RunConfig,
  itemsOf: ReadonlyMap<string, number>,
): number {
  return [...target.sets, ...retention.sets].reduce((sum, { name, scorer, max_new_tokens }) => {
    const text = scorer === 'multiple_choice' ? bytesPerLine : max_new_tokens * bytesPerTokenOfText;
    return sum + (itemsOf.get(name) ?? 0) * (bytesPerLine + text);
  }, bytesPerLine * 8);
}
