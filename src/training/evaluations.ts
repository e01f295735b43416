/** An evaluation at a point of the plan: measured once for a set of weights, then read from the run or the store. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import {
  evaluateModel,
  type MeasuredModel,
  measureAgain,
  metricsOf,
  sampleBase,
} from '../evaluation/evaluate.ts';
import { type BaseSamples, baseSamples } from '../evaluation/kl.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { readChecked, readRecord, writeChecked } from '../files/read-record.ts';
import { type EvaluationRecord, evaluationRecord, metricsLine, stepName } from '../run/records.ts';
import { touch } from '../store/in-use.ts';
import { evaluationPath } from '../store/store.ts';
import { samplerNumerics, samplesStrictly } from './held.ts';
import { type Run, safePoint, timed } from './run.ts';
import type { Trainer, Weights } from './trainer.ts';

/** What the store has of one: with the base's answers to the prompts of KL where it is the base's. */
const stored = z.object({ record: evaluationRecord, samples: baseSamples.nullable() });

/** Write evaluation/….json and a line of metrics for weights. The base comes first: what others are compared with is then at hand. */
export async function evaluateWeights(trainer: Trainer, weights: Weights): Promise<void> {
  const { directory } = trainer.run;
  await safePoint(trainer.run);
  if (weights.training === 'base') await samplesOfBase(trainer);
  const { training, step } = weights;
  const file = `evaluation/${training}-${stepName(step)}.json`;
  const entry = directory.ledger.find('evaluate', training, step);
  const isThere =
    entry && existsSync(directory.file(file)) && sha256OfFile(directory.file(file)) === entry.sha256;
  const isInMetrics = entry !== undefined && directory.metricsBytes >= entry.metricsBytes;
  if (isThere && isInMetrics) return;
  const known = isThere ? readRecord(directory.file(file), evaluationRecord).value : null;
  // Parsed in either case: keys have one order, wherever the record comes from.
  const record = known ?? evaluationRecord.parse(await measure(trainer, weights));
  if (!isThere) directory.write(file, `${JSON.stringify(record, null, 1)}\n`);
  const sha256 = sha256OfFile(directory.file(file));
  const isAsNoted = entry?.sha256 === sha256; // not there: damaged, and made again
  if (!(isInMetrics && isAsNoted))
    // a resume may have cut the line off
    directory.appendMetrics([metricsLine.parse({ training, step, ...metricsOf(record) })]);
  if (isAsNoted) return;
  const { metricsBytes } = directory;
  directory.ledger.append({ unit: 'evaluate', training, step, file, sha256, metricsBytes });
}

/** What was measured of weights. */
export type Measured = EvaluationRecord;

/** What was measured of weights in this run, from its file; null where it was not. */
export function measuredOf({ directory }: Run, { training, step }: Weights): Measured | null {
  const entry = directory.ledger.find('evaluate', training, step);
  if (entry === undefined) return null;
  const path = directory.file(entry.file);
  return existsSync(path) && sha256OfFile(path) === entry.sha256
    ? readRecord(path, evaluationRecord).value
    : null;
}

/** From the store when the same weights were measured in the same way, else by the worker. */
async function measure(trainer: Trainer, weights: Weights): Promise<EvaluationRecord> {
  const { run } = trainer;
  const { training, step } = weights;
  const isShared = trainer.isShared(weights);
  const digest = trainer.knownDigest(weights);
  const found = digest === null ? null : readStored(run, digest);
  const isAgain = training === 'base' && run.evaluation.again;
  if (found && (!isAgain || found.record.again !== undefined)) {
    const { again, ...record } = found.record; // of a run that asked for more
    return { ...record, ...(isAgain && again !== undefined && { again }), training, step };
  }
  return timed(run, { unit: `evaluate ${training} ${step}`, kind: 'evaluate', training }, async () => {
    const samples = await samplesOfBase(trainer);
    await trainer.load(weights);
    const weightsDigest = await trainer.digestOf(weights);
    const call = callOf(run, `evaluate ${training} at step ${step}`);
    const { sampler, release } = await trainer.hold(weights);
    const measured: MeasuredModel = { training, step, weightsDigest, baseSamples: samples, sampler, ...call };
    const measuring = isAgain
      ? measureTwice(run, measured)
      : evaluateModel(run.worker, run.evaluation, measured);
    const { record, tokens } = await measuring.finally(release);
    // The weights of others are known only when they are trained: hardly anybody would look for these.
    if (isShared) keep(run, weightsDigest, { record, samples: training === 'base' ? samples : null });
    return { value: record, tokens: tokens.generated + tokens.scored };
  });
}

/** The base, and once more what rests on sampling. */
async function measureTwice({ worker, evaluation }: Run, measured: MeasuredModel) {
  const { record, tokens } = await evaluateModel(worker, evaluation, measured);
  const { again, tokens: more } = await measureAgain(worker, evaluation, measured);
  const { generated, scored } = tokens;
  return {
    record: { ...record, again },
    tokens: { generated: generated + more.generated, scored: scored + more.scored },
  };
}

function callOf(run: Run, what: string): Pick<MeasuredModel, 'signal' | 'onProgress'> {
  let seen = 0;
  return {
    signal: run.signal,
    onProgress: ({ done, total, tokens }) => {
      run.progress.update(what, done, total, tokens - seen);
      seen = tokens;
    },
  };
}

/** What the base says to the prompts of KL: from the run, from the store with what was measured of the base, else sampled. */
async function samplesOfBase(trainer: Trainer): Promise<BaseSamples | null> {
  const { run } = trainer;
  if (run.evaluation.kl.length === 0) return null;
  const file = run.directory.file('base-samples.json');
  const own = readChecked(file, baseSamples).value;
  if (own !== null) return own;
  const samples = readStored(run, run.model.weightsDigest ?? '')?.samples ?? (await sample(trainer));
  writeChecked(file, samples);
  return samples;
}

async function sample(trainer: Trainer): Promise<BaseSamples> {
  const { run } = trainer;
  await trainer.load(trainer.base);
  const { sampler, release } = await trainer.hold(trainer.base);
  const call = { sampler, ...callOf(run, 'sample the base') };
  return (await sampleBase(run.worker, run.evaluation, call).finally(release)).samples;
}

/** KL is measured against the base, so that is in the key too. */
function pathOf(run: Run, weightsDigest: string): string {
  const { model, store, evaluationKey, evaluation } = run;
  const base = model.weightsDigest;
  // Off strict sampling the last bits depend on what is sampled beside it.
  const batch = samplesStrictly(run) ? null : evaluation.maxRows;
  const sampling = samplerNumerics(run);
  const numerics = { ...run.numerics, ...(Object.keys(sampling).length > 0 && { sampling }) };
  return evaluationPath(store, sha256OfRecord({ weightsDigest, base, evaluationKey, numerics, batch }));
}

function keep(run: Run, weightsDigest: string, content: z.infer<typeof stored>): void {
  writeChecked(pathOf(run, weightsDigest), content);
}

/** Damaged: measured again, and the file replaced. */
function readStored(run: Run, weightsDigest: string): z.infer<typeof stored> | null {
  const path = pathOf(run, weightsDigest);
  touch(path);
  return readChecked(path, stored).value;
}
