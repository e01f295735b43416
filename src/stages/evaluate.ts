/** An evaluation at a point of the plan: measured once for a set of weights, then read from the run or the store. */
import { existsSync } from 'node:fs';
import { evaluateModel, type MeasuredModel, sampleBase } from '../evaluation/evaluate.ts';
import { type BaseSamples, baseSamples } from '../evaluation/kl.ts';
import { metricsOf } from '../evaluation/metrics.ts';
import { sha256OfFile, writeFileAtomic } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { readRecord } from '../files/read-record.ts';
import { type EvaluationRecord, evaluationRecord, metricsLine } from '../run/records.ts';
import { touch } from '../store/in-use.ts';
import { evaluationPath, stepName } from '../store/store.ts';
import { type RunContext, safePoint, timed } from './run-context.ts';
import { type Stage, standAt, standingDigest } from './train.ts';

/** Write evaluation/….json and a line of metrics for a stage at `step`. */
export async function evaluateAt(run: RunContext, stage: Stage | 'base', step: number): Promise<void> {
  const { directory } = run;
  await safePoint(run);
  const name = stage === 'base' ? 'base' : stage.name;
  const file = `evaluation/${name}-${stepName(step)}.json`;
  const entry = directory.ledger.find('evaluate', name, step);
  const isThere =
    entry && existsSync(directory.file(file)) && sha256OfFile(directory.file(file)) === entry.sha256;
  if (isThere && directory.metricsBytes >= entry.metricsBytes) return;
  const known = isThere ? readRecord(directory.file(file), evaluationRecord).value : null;
  // Parsed in either case: keys have one order, wherever the record comes from.
  const record = known ?? evaluationRecord.parse(await measure(run, stage, step));
  if (!isThere) directory.write(file, `${JSON.stringify(record, null, 1)}\n`);
  directory.appendMetrics([metricsLine.parse({ training: name, step, ...metricsOf(record) })]);
  if (isThere) return; // a resume had cut the line off
  const { metricsBytes } = directory;
  directory.ledger.append({
    unit: 'evaluate',
    stage: name,
    step,
    file,
    sha256: sha256OfFile(directory.file(file)),
    metricsBytes,
  });
}

/** From the store when the same weights were measured in the same way, else by the worker. */
async function measure(run: RunContext, stage: Stage | 'base', step: number): Promise<EvaluationRecord> {
  const name = stage === 'base' ? 'base' : stage.name;
  const known =
    step === 0 ? run.model.weightsDigest : name === 'sft' ? run.finishedSft?.weightsDigests[step] : undefined;
  const stored = known ? readStored(run, known) : null;
  if (stored) return { ...stored, training: name, step };
  return timed(run, { unit: `evaluate ${name} ${step}`, kind: 'evaluate', training: name }, async () => {
    const baseSamples = await samplesOfBase(run);
    await standAt(run, stage, step);
    const weightsDigest = known ?? (await standingDigest(run));
    const measured: MeasuredModel = {
      training: name,
      step,
      weightsDigest,
      baseSamples,
      ...callOf(run, `evaluate ${name} at step ${step}`),
    };
    const { record, tokens } = await evaluateModel(run.worker, run.evaluation, measured);
    // Only these are looked for by another run: the others' weights are known when they are trained.
    if (name === 'base' || name === 'sft')
      writeFileAtomic(evaluationPath(run.store, storeKey(run, weightsDigest)), JSON.stringify(record));
    return { value: record, tokens: tokens.generated + tokens.scored };
  });
}

function callOf(run: RunContext, stage: string): Pick<MeasuredModel, 'signal' | 'onProgress'> {
  let seen = 0;
  return {
    signal: run.signal,
    onProgress: ({ done, total, tokens }) => {
      run.progress.update(stage, done, total, tokens - seen);
      seen = tokens;
    },
  };
}

/** What the base says to the prompts of KL: sampled while the base stands in the worker, then a file of the run. */
async function samplesOfBase(run: RunContext): Promise<BaseSamples | null> {
  if (run.evaluation.kl.length === 0) return null;
  const file = run.directory.file('base-samples.json');
  const known = readRecord(file, baseSamples).value;
  if (known !== null) return known;
  await standAt(run, 'base', 0);
  const { samples } = await sampleBase(run.worker, run.evaluation, callOf(run, 'sample the base'));
  writeFileAtomic(file, JSON.stringify(samples));
  return samples;
}

/** KL is measured against the base, so that is in the key too. */
function storeKey({ model, evaluationKey, environmentKey }: RunContext, weightsDigest: string): string {
  return sha256OfRecord({ weightsDigest, base: model.weightsDigest, evaluationKey, environmentKey });
}

function readStored(run: RunContext, weightsDigest: string): EvaluationRecord | null {
  const path = evaluationPath(run.store, storeKey(run, weightsDigest));
  touch(path);
  return readRecord(path, evaluationRecord).value; // damaged: measured again, and the file replaced
}
