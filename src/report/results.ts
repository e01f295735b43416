/** A run directory as one typed record: what was measured, nothing formatted. Works on a run that is not finished. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { TmsError } from '../errors.ts';
import {
  type EnvironmentRecord,
  type EvaluationRecord,
  environmentRecord,
  evaluationRecord,
  metricsLine,
  plannedTrainings,
  type RunRecord,
  runRecord,
  type TimingLine,
  timingLine,
} from '../run/records.ts';
import {
  baseName,
  listTrainings,
  resultModel,
  resultTraining,
  type SavedModel,
  type Training,
} from '../run/trainings.ts';
import { type AnswerSet, type Curriculum, readAnswers, type ShownPrompt } from './answers.ts';
import { checkSameItems } from './pairs.ts';
import { checkFiles, readJson, readJsonLines, readYamlMapping } from './run-files.ts';
import { withoutSets } from './selection-sets.ts';

export type { Curriculum };

/** A setting in effect that the paper does not state, and where its value comes from. */
export type Guessed = { readonly key: string; readonly value: unknown; readonly why: string };

/** Seconds and tokens of one kind of work for one training, over the whole run. */
export type Cost = Pick<TimingLine, 'kind' | 'training' | 'seconds' | 'tokens'>;

export type LossPoint = { readonly step: number; readonly loss: number };

export type Results = {
  readonly directory: string;
  readonly name: string;
  readonly run: RunRecord;
  /** Null, as `environment`, where the run ended before the file was written. */
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly environment: EnvironmentRecord | null;
  readonly guessed: readonly Guessed[];
  /** In the order in which they run. */
  readonly trainings: readonly Training[];
  /** Names of evaluation sets that chose a point; `evaluations` are without them. */
  readonly selectionSets: readonly string[];
  /** The base, then the trainings in their order, each by step. */
  readonly evaluations: readonly EvaluationRecord[];
  /** By training. */
  readonly losses: Readonly<Record<string, readonly LossPoint[]>>;
  /** Mean share of the updates that rounding lost, of trainings that lost any. */
  readonly lostUpdates: Readonly<Record<string, number>>;
  /** By training whose targets are drawn: how alike gold is what it learned, a mean over its steps; 1 of gold itself. */
  readonly goldOverlaps: Readonly<Record<string, number>>;
  readonly costs: readonly Cost[];
  readonly answerSets: readonly AnswerSet[];
  readonly prompts: readonly ShownPrompt[];
  /** Of the trainings whose targets are drawn, in their order. */
  readonly curricula: readonly Curriculum[];
  /** What the run was made for. */
  readonly made: Training | null;
  /** Its model, else the nearest one that lies in the directory: to load, not to judge by. */
  readonly model: SavedModel | null;
  /** Files whose last line was cut off by the end of the process. */
  readonly tornFiles: readonly string[];
};

/** Read everything that is there. Throws `TmsError` where there is no run, or a file of it is corrupt. */
export async function readResults(runDirectory: string): Promise<Results> {
  const directory = resolve(runDirectory);
  const at = (name: string) => join(directory, name);
  const run = await readJson(at('run.json'), runRecord);
  if (run === null) {
    throw new TmsError(`${directory} has no run.json: it is not the directory of a run`, {
      fix: 'give the `output_dir` of a run',
    });
  }
  checkFiles(directory);
  const torn = new Set<string>();
  const noteTornEnd = (file: string) => torn.add(basename(file));
  const config = readYamlMapping(at('config.resolved.yaml'));
  const plan = await readJson(at('plan.json'), planFields);
  const measured = {
    evaluations: await readEvaluations(at('evaluation')),
    ...(await readLosses(at('metrics.jsonl'), noteTornEnd)),
    costs: await readCosts(at('timing.jsonl'), noteTornEnd),
    ...(await readAnswers(directory, noteTornEnd)),
  };
  const trainings = listTrainings(plan?.trainings ?? {}, namesIn(measured));
  const chose = Object.values(plan?.methods ?? {}).flatMap(({ selectionSets }) => selectionSets);
  const results: Results = {
    directory,
    name: typeof config?.run_name === 'string' ? config.run_name : basename(directory),
    run,
    config,
    environment: await readJson(at('environment.json'), environmentRecord),
    guessed: plan?.guessed ?? [],
    trainings,
    selectionSets: [],
    ...inOrder(measured, trainings),
    made: resultTraining(trainings),
    model: resultModel(directory, trainings),
    tornFiles: [...torn],
  };
  return withoutSets(results, chose);
}

type Measured = Pick<
  Results,
  'evaluations' | 'losses' | 'lostUpdates' | 'goldOverlaps' | 'costs' | 'answerSets' | 'prompts' | 'curricula'
>;

/** Every training that left something behind. */
function namesIn({ evaluations, losses, costs, curricula, answerSets }: Measured): Set<string> {
  const names = [...evaluations, ...costs, ...curricula, ...answerSets].map(({ training }) => training);
  return new Set([...names, ...Object.keys(losses)]);
}

/** The base first, then by the order of the trainings; what is of one training stays as it was read. */
function inOrder(measured: Measured, trainings: readonly Training[]): Measured {
  const names = [baseName, ...trainings.map(({ name }) => name)];
  const place = ({ training }: { readonly training: string }) => names.indexOf(training);
  const sorted = <T extends { readonly training: string }>(list: readonly T[]) =>
    list.toSorted((one, other) => place(one) - place(other));
  const { evaluations, answerSets, curricula, prompts } = measured;
  return {
    ...measured,
    evaluations: sorted(evaluations.toSorted((one, other) => one.step - other.step)),
    answerSets: sorted(answerSets),
    curricula: sorted(curricula).map(one => ({ ...one, perCheckpoint: sorted(one.perCheckpoint) })),
    prompts: prompts.map(one => ({ ...one, answers: sorted(one.answers), undrawn: sorted(one.undrawn) })),
  };
}

const guessedSetting = z.union([
  z.object({ key: z.string(), value: z.unknown(), why: z.string() }),
  z
    .object({ path: z.string(), value: z.unknown(), basis: z.string() })
    .transform(({ path, value, basis }) => ({ key: path, value, why: basis })),
]);

/** What the report reads of plan.json; the rest is the plan's own. */
const planFields = z.object({
  trainings: plannedTrainings.optional(),
  guessed: z.array(guessedSetting).optional(),
  methods: z.record(z.string(), z.object({ selectionSets: z.array(z.string()).default([]) })).optional(),
});

async function readEvaluations(folder: string): Promise<EvaluationRecord[]> {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const isBase = (name: string) => Number(name.startsWith(`${baseName}-step-`));
  const files = names
    .filter(name => /^[a-z][a-z0-9-]*-step-\d+\.json$/.test(name))
    .sort((a, b) => isBase(b) - isBase(a) || (a < b ? -1 : 1));
  const records: EvaluationRecord[] = [];
  for (const name of files) {
    const record = await readJson(join(folder, name), evaluationRecord);
    if (record === null) continue; // a directory of that name
    records.push(record);
    checkSameItems(records[0] ?? record, record, join(folder, name));
  }
  return records;
}

async function readLosses(
  file: string,
  onTornEnd: (file: string) => void,
): Promise<Pick<Results, 'losses' | 'lostUpdates' | 'goldOverlaps'>> {
  const losses: Record<string, LossPoint[]> = {};
  const lost: Record<string, number[]> = {};
  const alike: Record<string, number[]> = {};
  for await (const line of readJsonLines(file, metricsLine, onTornEnd)) {
    const { training, step, loss, lost_updates, gold_overlap } = line;
    if (gold_overlap !== undefined) {
      alike[training] ??= [];
      alike[training].push(gold_overlap);
    }
    if (lost_updates !== undefined) lost[training] = [...(lost[training] ?? []), lost_updates];
    if (typeof loss !== 'number') continue;
    losses[training] ??= [];
    losses[training].push({ step, loss });
  }
  const mean = (shares: readonly number[]) => shares.reduce((sum, share) => sum + share, 0) / shares.length;
  const meansOf = (shares: Record<string, number[]>) =>
    Object.fromEntries(Object.entries(shares).map(([training, all]) => [training, mean(all)]));
  return { losses, lostUpdates: meansOf(lost), goldOverlaps: meansOf(alike) };
}

/** Adds up as it reads: a long run has a line a unit. */
async function readCosts(file: string, onTornEnd: (file: string) => void): Promise<Cost[]> {
  const sums = new Map<string, Cost>();
  for await (const { kind, training, seconds, tokens } of readJsonLines(file, timingLine, onTornEnd)) {
    const sum = sums.get(`${kind} ${training}`);
    const total = { seconds: seconds + (sum?.seconds ?? 0), tokens: tokens + (sum?.tokens ?? 0) };
    sums.set(`${kind} ${training}`, { kind, training, ...total });
  }
  return [...sums.values()];
}
