/** Keep the weights of a checkpoint where every run finds them, and say when a whole SFT stage is there. */
import { existsSync, readFileSync } from 'node:fs';
import { evaluationRecord, metricsLine } from '../run/records.ts';
import { checkpointPath, writeFinishedStage } from '../store/store.ts';
import { WorkerError } from '../worker/worker-error.ts';
import { type RunContext, safePoint, timed } from './run-context.ts';
import { type Stage, standAt, standingDigest } from './train.ts';

/** Save the weights of the SFT run at a checkpoint into the store, unless they are there. */
export async function keepCheckpoint(run: RunContext, stage: Stage, step: number): Promise<void> {
  const { directory, store, sftKey, config } = run;
  await safePoint(run);
  if (step === 0 || directory.ledger.find('checkpoint', stage.name, step)) return;
  const stored = run.finishedSft?.weightsDigests[step];
  const path = checkpointPath(store, sftKey, step);
  const weightsDigest =
    stored ??
    (await timed(run, { unit: `checkpoint ${step}`, kind: 'save', training: stage.name }, async () => {
      await standAt(run, stage, step);
      const isWanted = config.tms.keep_checkpoints && !existsSync(path);
      if (isWanted) await saveUnlessThere(run, path);
      return { value: await standingDigest(run), tokens: 0 };
    }));
  directory.ledger.append({ unit: 'checkpoint', stage: stage.name, step, weightsDigest });
}

/** A run beside this one may be quicker with the same checkpoint: what has the same name in the store has the same content. */
async function saveUnlessThere(run: RunContext, path: string): Promise<void> {
  try {
    await run.worker.save(path, { stopIds: run.stopIds });
  } catch (error) {
    if (!(error instanceof WorkerError && error.data?.reason === 'exists')) throw error;
  }
}

/** Let other runs take this SFT stage from the store instead of training it again. */
export function publishSft(run: RunContext): void {
  const { directory, store, sftKey, config, plan } = run;
  if (run.finishedSft !== null || !config.tms.keep_checkpoints) return;
  const lines = readFileSync(directory.file('metrics.jsonl'), 'utf8').split('\n').filter(Boolean);
  const metrics = lines
    .map(line => metricsLine.parse(JSON.parse(line)))
    .filter(line => line.training === 'sft' && 'loss' in line);
  const digests = directory.ledger.entries.flatMap(entry => {
    if (entry.stage !== 'sft') return [];
    if (entry.unit === 'checkpoint') return [[entry.step, entry.weightsDigest] as const];
    if (entry.unit === 'evaluate') return [[entry.step, digestOf(directory.file(entry.file))] as const];
    return [];
  });
  writeFinishedStage(store, sftKey, {
    steps: plan.sft.steps,
    weightsDigests: Object.fromEntries(digests),
    metrics,
    recipe: run.sftRecipe,
  });
}

function digestOf(evaluationFile: string): string {
  return evaluationRecord.parse(JSON.parse(readFileSync(evaluationFile, 'utf8'))).weightsDigest;
}
