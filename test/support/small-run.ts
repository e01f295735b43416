/** A TMS run of a second, and the whole of what it must ask of the worker, worked out from what the toy answered. */
import { expect } from 'vitest';
import { type Asked, askedIn, callsOf, type Learned, stepsOf, type TrainingStep } from './recorded-calls.ts';
import { type RecordedRun, readRows, type Settings, writeRows } from './recorded-run.ts';
import {
  answerSeed,
  batchesOf,
  drawOf,
  type Example,
  endId,
  gold,
  idsOf,
  learned,
  type Mixture,
  type Visit,
} from './reference.ts';

export const examples: readonly Example[] = Array.from({ length: 10 }, (_, i) => ({
  prompt: `say ${i}${'xyb'[i % 3]}`,
  completion: ['ab', 'ba', 'aab', 'b', 'abab'][i % 5] ?? '',
}));
export const heldOut: readonly Example[] = Array.from({ length: 4 }, (_, i) => ({
  prompt: `tell ${i}${'byx'[i % 3]}`,
  completion: ['ab', 'bb', 'a', 'bab'][i] ?? '',
}));

/** 10 examples in batches of 4: 3 steps an epoch, 9 steps in all. A batch of the toy's learns enough for some answers to end. */
export function smallRun(folder: string, settings: Settings = {}): Settings {
  const { tms, ...rest } = settings as { tms?: Settings; method?: string; max_steps?: number };
  const harvest =
    (rest.method ?? 'tms') === 'tms'
      ? { num_checkpoints: 3, max_new_tokens: 9, max_fallback_fraction: 1 }
      : {};
  return {
    model_name_or_path: 'toy:1',
    dataset_name: writeRows(folder, 'train.jsonl', examples),
    dataset_test_name: writeRows(folder, 'test.jsonl', heldOut),
    learning_rate: 1,
    lr_scheduler_type: 'constant',
    ...(rest.max_steps === undefined ? { num_train_epochs: 3 } : {}),
    per_device_train_batch_size: 4,
    max_length: 40,
    seed: 7,
    pld: { size: 0 },
    kl: { size: 0 },
    eval_points: 2,
    tms: { ...harvest, ...tms },
    ...rest,
  };
}

/** An evaluation set: the first `count` examples, with answers of five tokens at most. */
export function saySet(folder: string, { count = 3, ...more }: Settings & { count?: number } = {}): Settings {
  const path = writeRows(folder, `say-${count}.jsonl`, examples.slice(0, count));
  return { name: 'say', path, columns: { answer: 'completion' }, max_new_tokens: 5, ...more };
}

/** What the reference needs to know of the settings above, with the steps that follow from them by hand. */
export type Facts = {
  readonly seed: number;
  readonly dataSeed: number;
  readonly batch: number;
  readonly sftSteps: number;
  readonly studentSteps: number;
  readonly checkpoints: readonly number[];
  readonly alpha: number;
  readonly alphaEnd?: number;
  readonly samples: number;
  readonly order: Mixture['order'];
  readonly isLazy: boolean;
  /** Further samples that are tried in place of an unusable one. */
  readonly redraws: number;
  /** Unusable answers are learned as they are. */
  readonly isUnfiltered: boolean;
  readonly maxNewTokens: number;
  /** A letter that ends answers; '' for none. */
  readonly stop: string;
};

export const smallFacts: Facts = {
  seed: 7,
  dataSeed: 7,
  batch: 4,
  sftSteps: 9,
  studentSteps: 9,
  checkpoints: [3, 6, 9],
  alpha: 0.25,
  samples: 1,
  order: 'random',
  isLazy: true,
  redraws: 0,
  isUnfiltered: false,
  maxNewTokens: 9,
  stop: '',
};

/** The trainings of a run, told apart by how many steps each has. */
export type Trainings = {
  readonly base: string;
  readonly sft: readonly TrainingStep[];
  readonly student: readonly TrainingStep[];
  readonly control: readonly TrainingStep[];
};

export function trainingsOf(
  run: RecordedRun,
  { sftSteps, studentSteps }: Pick<Facts, 'sftSteps' | 'studentSteps'>,
): Trainings {
  const steps = stepsOf(run.calls);
  return {
    base: run.calls[0]?.weights ?? '',
    sft: steps.slice(0, sftSteps),
    student: steps.slice(sftSteps, sftSteps + studentSteps),
    control: steps.slice(sftSteps + studentSteps),
  };
}

/** Each step learns these sequences, as the mean over all tokens that have a weight. */
export function expectGradients(steps: readonly TrainingStep[], expected: readonly Learned[][]): void {
  expect(steps.map(({ sequences }) => sequences)).toEqual(expected);
  for (const { sequences, normalizers } of steps) {
    const tokens = sequences.flatMap(({ weights }) => weights).reduce((sum, weight) => sum + weight, 0);
    expect(new Set(normalizers)).toEqual(new Set([tokens]));
  }
}

/** Each step goes on from the weights that the one before left, the first from `start`. */
export function expectUnbroken(steps: readonly TrainingStep[], start: string): void {
  expect(steps.map(({ before }) => before)).toEqual([start, ...steps.slice(0, -1).map(({ after }) => after)]);
  expect(new Set(steps.map(({ after }) => after)).size).toBe(steps.length);
}

export function goldBatches({ dataSeed, batch }: Facts, steps: number, maxLength?: number): Learned[][] {
  return batchesOf(dataSeed, { count: examples.length, batch, steps }).map(visits =>
    visits.map(({ example }) => gold(examples[example] as Example, maxLength)),
  );
}

/** What a visit of the student is: a line of curriculum.jsonl and a sequence. */
export type Target = { readonly record: Record<string, unknown>; readonly learned: Learned };

/** The answers of the checkpoints as they were asked for, by weights, prompt and seed. */
export class Harvest {
  readonly #answers = new Map<string, Asked>();
  readonly #read = new Set<string>();
  readonly #facts: Facts;
  readonly #trainings: Trainings;

  constructor(run: RecordedRun, facts: Facts, trainings: Trainings) {
    this.#facts = facts;
    this.#trainings = trainings;
    for (const asked of askedIn(run.calls))
      if (asked.params.maxNewTokens === facts.maxNewTokens) this.#answers.set(keyOf(asked), asked);
  }

  get asked(): Asked[] {
    return [...this.#answers.values()];
  }

  /** What nobody has read. */
  get unread(): Asked[] {
    return [...this.#answers].filter(([key]) => !this.#read.has(key)).map(([, asked]) => asked);
  }

  /** Sample `sample` of the checkpoint at `step`, the next ones of the same checkpoint where it is unusable and may be drawn again. */
  answer(example: Example, step: number, sample: number): Asked {
    const { seed, samples, redraws } = this.#facts;
    let found: Asked | undefined;
    for (let attempt = 0; attempt <= redraws; attempt++) {
      const wanted = {
        weights: step === 0 ? this.#trainings.base : (this.#trainings.sft[step - 1]?.after ?? ''),
        prompt: idsOf(example.prompt),
        seed: answerSeed(seed, step, example, sample + attempt * samples),
      };
      this.#read.add(keyOf(wanted));
      found = this.#answers.get(keyOf(wanted));
      if (found === undefined)
        throw new Error(
          `nobody asked the checkpoint of step ${step}: ${example.prompt}, sample ${sample}, attempt ${attempt}`,
        );
      if (isUsable(endingAlike(found, this.#facts))) break;
    }
    return found as Asked;
  }
}

const keyOf = ({ weights, prompt, seed }: Pick<Asked, 'weights' | 'prompt' | 'seed'>) =>
  `${weights} ${prompt} ${seed}`;

/** The answer as it is learned: what stands before a stop text, with the end of gold. */
function endingAlike(asked: Asked, { stop }: Pick<Facts, 'stop'>): Asked {
  if (!asked.isStopped) return asked;
  const before = asked.answer.slice(0, asked.answer.indexOf(idsOf(stop)[0] ?? -1));
  return { ...asked, answer: [...before, endId] };
}

/** It ended by itself, and says something before its end. */
export const isUsable = ({ answer, isFinished }: Asked): boolean => isFinished && answer.length > 1;

/** What every visit of the student learns: the whole of the algorithm once more. */
export function targetsOf(facts: Facts, harvest: Harvest): Target[][] {
  const { dataSeed, batch, studentSteps } = facts;
  const batches = batchesOf(dataSeed, { count: examples.length, batch, steps: studentSteps });
  const mixture = { ...facts, visits: batches.flat().length };
  return batches.map(visits => visits.map(visit => targetOf(visit, mixture, facts, harvest)));
}

function targetOf(visit: Visit, mixture: Mixture, facts: Facts, harvest: Harvest): Target {
  const { isUnfiltered } = facts;
  const example = examples[visit.example] as Example;
  const place = { epoch: visit.epoch, example: visit.example };
  const draw = drawOf(mixture, visit, example);
  if (draw === null)
    return {
      record: { ...place, source: 'gold', checkpointStep: null, sample: null },
      learned: gold(example),
    };
  const found = endingAlike(harvest.answer(example, draw.step, draw.sample), facts);
  const record = { ...place, checkpointStep: draw.step, sample: draw.sample };
  const fault = found.isFinished ? 'empty' : 'unfinished';
  if (isUsable(found) || isUnfiltered) {
    const source = isUsable(found) ? 'answer' : `${fault}-answer`;
    return { record: { ...record, source }, learned: learned(found.prompt, found.answer) };
  }
  const source = `gold-for-${fault}`;
  return { record: { ...record, source }, learned: gold(example) };
}

/** Everything about a run of TMS: SFT, what its checkpoints were asked, what the student learned from which weights on. */
export function expectTms(
  run: RecordedRun,
  facts: Facts,
  startsFrom: 'base' | 'sft' = 'base',
): { harvest: Harvest; targets: Target[]; trainings: Trainings } {
  const trainings = trainingsOf(run, facts);
  const { base, sft, student, control } = trainings;
  expectUnbroken(sft, base);
  expectGradients(sft, goldBatches(facts, facts.sftSteps));
  const harvest = new Harvest(run, facts, trainings);
  const targets = targetsOf(facts, harvest);
  expectUnbroken(student, startsFrom === 'base' ? base : (sft.at(-1)?.after ?? ''));
  expectGradients(
    student,
    targets.map(batch => batch.map(target => target.learned)),
  );
  expect(readRows(run.output, 'curriculum.jsonl')).toMatchObject(targets.flat().map(({ record }) => record));
  if (facts.isLazy) expect(harvest.unread).toEqual([]);
  expect(control).toEqual([]);
  expect(callsOf(run.calls, 'load')[0]?.params).toMatchObject({
    model: 'toy:1',
    restoreTrainingState: false,
  });
  return { harvest, targets: targets.flat(), trainings };
}

/** How many visits drew each source. */
export function sourcesOf(targets: readonly Target[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { record } of targets) counts[String(record.source)] = (counts[String(record.source)] ?? 0) + 1;
  return counts;
}
