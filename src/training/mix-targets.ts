/**
 * The targets of a mixture: q_α(·|x) = α·gold + (1−α)·mean over the policies' answers, one sample of it at each visit. Forward KL to
 * q_α is the negative log-likelihood of such samples (tms-paper E4–E6; docs/algorithm.md).
 */
import { TokenFileWriter } from '../data/token-file.ts';
import { isRight } from '../evaluation/scorer.ts';
import { type Draw, drawer } from '../plan/draws.ts';
import { allVisits, type Visit } from '../plan/training-plan.ts';
import type { AnswerRecord, VisitRecord } from '../run/records.ts';
import { noSources, type SourceCounts } from '../run/sources.ts';
import { type Encoded, withAnswer } from '../worker/worker.ts';
import { type Weigh, weighingOf } from './answer-weights.ts';
import { checkFallbacks, type FallbackSettings } from './fallbacks.ts';
import { overlapsOf, withOverlaps } from './gold-overlap.ts';
import type { Harvest } from './harvest.ts';
import { faultOf, readAnswers } from './read-answers.ts';
import type { Rewards } from './rewards.ts';
import { type Run, safePoint } from './run.ts';
import { writeShownExamples } from './shown-examples.ts';
import { goldRow, readTargets, type Targets, writeVisits } from './targets.ts';
import type { Trainer } from './trainer.ts';

/** Every answer by (policy, example, sample): sorted keys, and what is wrong with each. The i-th is row `first` + i of the targets' file. */
type AnswerTable = {
  readonly keys: Float64Array;
  readonly faults: Uint8Array;
  /** How often each is drawn against the others to its prompt; null: all alike. */
  readonly weights: Float64Array | null;
  /** How alike each and the gold answer are. */
  readonly overlaps: Float32Array;
  readonly first: number;
};

const faults = [null, 'unfinished', 'empty', 'too-long', 'rejected'] as const;

export type MixOptions = {
  /** Answers without an end, and those that say nothing, are learned as they are; else the gold answer takes their place. */
  readonly learnUnusable: boolean;
  /** What an answer must score at least 0.5 by; without it none is judged. */
  readonly accept?: Rewards | null;
  /** How often an answer is drawn against those of other policies to the same prompt; all of them must be there. Without it all alike. */
  readonly weigh?: Weigh | null;
  /** Refuse when the gold answer takes too many places; without it any share is allowed. */
  readonly bound?: FallbackSettings;
};

/** Write what each visit learns (curriculum.jsonl, targets/), and read it from there. */
export async function mixTargets(trainer: Trainer, harvest: Harvest, options: MixOptions): Promise<Targets> {
  const { run } = trainer;
  const { name } = harvest.options;
  await safePoint(run);
  await writeShownExamples(run);
  const file = `targets/${name}.bin`;
  const table = await gather(run, harvest, { accept: null, weigh: null, ...options, file });
  const counts = noSources();
  const { training, mixture } = harvest.options;
  const draw = drawer(mixture.draws);
  const choose = chooser(run, harvest, { table, ...options });
  const overlaps = new Float32Array(training.visits);
  const records = function* (): Generator<VisitRecord> {
    for (const visit of allVisits(training.order, training.steps)) {
      const { record, row } = choose(visit, draw(visit, run.data.idOf(visit.example)));
      counts[record.source]++;
      overlaps[visit.visit] = row === null ? 1 : (table.overlaps[row - table.first] as number);
      yield { training: name, ...record, row: row ?? visit.example };
    }
  };
  const digest = await writeVisits(run, name, records());
  checkFallbacks(run, { name, alpha: mixture.draws.alpha, sources: counts as SourceCounts }, options.bound);
  const targets = await readTargets(run, { training: name, tokens: file, digest, visits: training.visits });
  return withOverlaps(targets, overlaps);
}

/** The gold answers by example, then the answers behind their prompts, in one token file. */
async function gather(
  run: Run,
  harvest: Harvest,
  { file, accept, weigh }: Required<Pick<MixOptions, 'accept' | 'weigh'>> & { readonly file: string },
): Promise<AnswerTable> {
  const { config, directory, plan } = run;
  const { trainExamples } = plan.data;
  const table = {
    keys: new Float64Array(harvest.count),
    faults: new Uint8Array(harvest.count),
    weights: weigh === null ? null : new Float64Array(harvest.count),
    overlaps: new Float32Array(harvest.count),
    first: trainExamples,
  };
  const weighing = weigh === null ? null : weighingOf(run, harvest, weigh);
  const overlap = overlapsOf(run, harvest);
  const writer = await TokenFileWriter.create(directory.place(file), harvest.count + trainExamples);
  let answer = 0;
  try {
    for (let example = 0; example < trainExamples; example++)
      await writer.append([await goldRow(run, example)]);
    for await (const { records, policy } of answersIn(run, harvest)) {
      const scores = await scoresOf(accept, records);
      const wholes = await Promise.all(records.map(({ example, ids }) => withPrompt(run, example, ids)));
      if (weighing !== null) table.weights?.set(await weighing.of(wholes), answer);
      for (const [i, record] of records.entries()) {
        const { example, sample } = record;
        const whole = wholes[i] as Encoded;
        const isRejected = !isRight(scores[i] ?? 0);
        const fault = faultOf(run, record) ?? otherFault(whole.ids.length > config.max_length, isRejected);
        table.keys[answer] = keyOf(harvest, trainExamples, { policy, example, sample });
        table.overlaps[answer] = await overlap.of(policy, example, whole);
        table.faults[answer++] = faults.indexOf(fault);
        await writer.append([whole]);
      }
    }
    await writer.finish();
    weighing?.finish();
    overlap.finish();
    return table;
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function* answersIn({ directory }: Run, harvest: Harvest) {
  for (const [policy, weights] of harvest.asked.entries())
    for await (const records of readAnswers(directory.file(harvest.fileOf(weights))))
      yield { records, policy };
}

function otherFault(isTooLong: boolean, isRejected: boolean): (typeof faults)[number] {
  if (isTooLong) return 'too-long';
  return isRejected ? 'rejected' : null;
}

/** All are right where nothing judges. */
async function scoresOf(accept: Rewards | null, records: readonly AnswerRecord[]): Promise<number[]> {
  if (accept === null) return records.map(() => 1);
  return accept.of(
    records.map(({ example, text, finishReason }) => ({
      example,
      text,
      isFinished: finishReason !== 'length',
    })),
  );
}

async function withPrompt({ data }: Run, example: number, answer: readonly number[]) {
  const { ids, promptLength } = await data.tokens.read(data.rows[example] as number);
  return withAnswer(ids.subarray(0, promptLength), answer);
}

type Chosen = { readonly record: Omit<VisitRecord, 'training' | 'row'>; readonly row: number | null };

/** What a visit trains on: a row of the answers, or the gold answer (null). */
function chooser(
  run: Run,
  harvest: Harvest,
  { table, learnUnusable }: MixOptions & { readonly table: AnswerTable },
): (visit: Visit, draw: Draw) => Chosen {
  const { trainExamples } = run.plan.data;
  return ({ epoch, example }, draw) => {
    const { sample, isGold } = draw;
    const placeAt = (policy: number) =>
      placeOf(table, keyOf(harvest, trainExamples, { policy, example, sample }));
    const policy = policyOf(draw, table, () => harvest.asked.map((_, i) => placeAt(i)));
    const weights = harvest.asked[policy];
    if (isGold || weights === undefined)
      return {
        record: { epoch, example, source: 'gold', answers: null, checkpointStep: null, sample: null },
        row: null,
      };
    const drawn = { epoch, example, answers: weights.training, checkpointStep: weights.step, sample };
    const place = placeAt(policy);
    if (place === -1) throw new Error(incomplete(harvest.fileOf(weights), example));
    const fault = faults[table.faults[place] as number] as (typeof faults)[number];
    const row = table.first + place;
    if (fault === null) return { record: { ...drawn, source: 'answer' }, row };
    // Half an answer is never learnt, whatever the filters.
    if (fault !== 'too-long' && fault !== 'rejected' && learnUnusable)
      return { record: { ...drawn, source: `${fault}-answer` }, row };
    return { record: { ...drawn, source: `gold-for-${fault}` }, row: null };
  };
}

function incomplete(file: string, example: number): string {
  return `no answer of ${file} to example ${example}: the harvest is incomplete`;
}

/** As drawn; where answers have weights, the one that a number from 0 to before 1 falls on, each as wide as its weight (softmax of the logarithms). */
function policyOf({ checkpoint, unit }: Draw, { weights }: AnswerTable, places: () => number[]): number {
  if (weights === null) return checkpoint;
  const logs = places().map(place => weights[place] ?? 0);
  const most = Math.max(...logs);
  const own = logs.map(log => Math.exp(log - most));
  let left = unit * own.reduce((sum, weight) => sum + weight, 0);
  const found = own.findIndex(weight => {
    left -= weight;
    return left < 0;
  });
  return found === -1 ? own.length - 1 : found;
}

/** Ascends with policy, then example, then sample: the order in which answers are written. */
function keyOf(
  { options: { mixture } }: Harvest,
  examples: number,
  { policy, example, sample }: { readonly policy: number; readonly example: number; readonly sample: number },
): number {
  return (policy * examples + example) * mixture.draws.samplesPerPrompt + sample;
}

function placeOf({ keys }: AnswerTable, key: number): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as number) < key) low = middle + 1;
    else high = middle;
  }
  return keys[low] === key ? low : -1;
}
