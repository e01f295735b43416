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
  type RunRecord,
  runRecord,
  type TimingLine,
  timingLine,
} from '../run/records.ts';
import { type AnswerCounts, type Curriculum, readAnswers, type ShownPrompt } from './answers.ts';
import type { ModelName } from './format.ts';
import { readJson, readJsonLines, readYamlMapping } from './run-files.ts';
import { checkSameItems } from './same-items.ts';

export type { Curriculum };

/** A setting in effect that the paper does not state, and where its value comes from. */
export type Guessed = { readonly key: string; readonly value: unknown; readonly why: string };

/** Seconds and tokens of one kind of work for one model, over the whole run. */
export type Cost = Pick<TimingLine, 'kind' | 'seconds' | 'tokens'> & { readonly stage: ModelName };

export type LossPoint = { readonly step: number; readonly loss: number };

export type Results = {
  readonly directory: string;
  readonly name: string;
  readonly run: RunRecord;
  /** Null, as `environment`, where the run ended before the file was written. */
  readonly config: Readonly<Record<string, unknown>> | null;
  readonly environment: EnvironmentRecord | null;
  readonly guessed: readonly Guessed[];
  /** In the order base, sft, control, student, each by step. */
  readonly evaluations: readonly EvaluationRecord[];
  readonly losses: Readonly<Partial<Record<ModelName, readonly LossPoint[]>>>;
  /** Mean share of the updates that rounding lost, of trainings that lost any. */
  readonly lostUpdates: Readonly<Partial<Record<ModelName, number>>>;
  readonly costs: readonly Cost[];
  readonly answerCounts: readonly AnswerCounts[];
  readonly prompts: readonly ShownPrompt[];
  readonly curriculum: Curriculum | null;
  /** Answers of the base that the control trained on; null without a control. */
  readonly controlAnswers: Omit<AnswerCounts, 'checkpointStep'> | null;
  /** The model this run is for: a directory that exists, or null. */
  readonly modelPath: string | null;
  /** Files whose last line was cut off by the end of the process. */
  readonly tornFiles: readonly string[];
};

const modelOrder: readonly ModelName[] = ['base', 'sft', 'control', 'student'];

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
  const torn = new Set<string>();
  const noteTornEnd = (file: string) => torn.add(basename(file));
  const config = readYamlMapping(at('config.resolved.yaml'));
  const plan = await readJson(at('plan.json'), planFields);
  const answers = await readAnswers(directory, plan?.checkpointSteps ?? [], noteTornEnd);
  const modelPath = at(join('models', run.method === 'tms' ? 'student' : 'sft'));
  return {
    directory,
    name: typeof config?.run_name === 'string' ? config.run_name : basename(directory),
    run,
    config,
    environment: await readJson(at('environment.json'), environmentRecord),
    guessed: plan?.guessed ?? [],
    evaluations: await readEvaluations(at('evaluation')),
    ...(await readLosses(at('metrics.jsonl'), noteTornEnd)),
    costs: await readCosts(at('timing.jsonl'), noteTornEnd),
    ...answers,
    modelPath: existsSync(modelPath) ? modelPath : null,
    tornFiles: [...torn],
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
  checkpointSteps: z.array(z.int()).optional(),
  guessed: z.array(guessedSetting).optional(),
});

async function readEvaluations(folder: string): Promise<EvaluationRecord[]> {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const files = names.filter(name => /^(base|sft|control|student)-step-\d+\.json$/.test(name)).sort();
  const records: EvaluationRecord[] = [];
  for (const name of files) {
    const record = await readJson(join(folder, name), evaluationRecord);
    if (record === null) continue; // a directory of that name
    records.push(record);
    checkSameItems(records[0] ?? record, record, join(folder, name));
  }
  return records.sort(
    (a, b) =>
      modelOrder.indexOf(a.training as ModelName) - modelOrder.indexOf(b.training as ModelName) ||
      a.step - b.step,
  );
}

async function readLosses(
  file: string,
  onTornEnd: (file: string) => void,
): Promise<Pick<Results, 'losses' | 'lostUpdates'>> {
  const losses: Partial<Record<ModelName, LossPoint[]>> = {};
  const lost: Partial<Record<ModelName, number[]>> = {};
  for await (const { training, step, loss, lost_updates } of readJsonLines(file, metricsLine, onTornEnd)) {
    const stage = training as ModelName;
    if (lost_updates !== undefined) lost[stage] = [...(lost[stage] ?? []), lost_updates];
    if (typeof loss !== 'number') continue;
    losses[stage] ??= [];
    losses[stage].push({ step, loss });
  }
  const mean = (shares: readonly number[]) => shares.reduce((sum, share) => sum + share, 0) / shares.length;
  const lostUpdates = Object.fromEntries(
    Object.entries(lost).map(([stage, shares]) => [stage, mean(shares)]),
  );
  return { losses, lostUpdates };
}

/** Adds up as it reads: a long run has a line a unit. */
async function readCosts(file: string, onTornEnd: (file: string) => void): Promise<Cost[]> {
  const sums = new Map<string, Cost>();
  for await (const { kind, training, seconds, tokens } of readJsonLines(file, timingLine, onTornEnd)) {
    const stage = training as ModelName;
    const sum = sums.get(`${kind} ${stage}`);
    const total = { seconds: seconds + (sum?.seconds ?? 0), tokens: tokens + (sum?.tokens ?? 0) };
    sums.set(`${kind} ${stage}`, { kind, stage, ...total });
  }
  return [...sums.values()];
}
