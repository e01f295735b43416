/** Training of one stage, in segments between the points where something else happens. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { copyDirectoryAtomic } from '../files/atomic.ts';
import { batches, type Visit } from '../plan/order.ts';
import { learningRate } from '../plan/schedule.ts';
import type { TrainingPlan } from '../plan/training-plan.ts';
import { type MetricsLine, metricsLine } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import { checkpointPath, stepName } from '../store/store.ts';
import type { StepOptions, TrainingSequence } from '../worker/worker.ts';
import { placeWeights } from './place.ts';
import { type RunContext, safePoint, timed } from './run-context.ts';
import { isCounted, lostMetric, refuseUnmoved, sayLost } from './weight-moves.ts';
import { loadOptions } from './worker-options.ts';

/** A stage: what it trains on and for how long. Visits are those of the plan's order. */
export type Stage = {
  readonly name: string;
  readonly plan: TrainingPlan;
  readonly sequenceOf: (visit: Visit) => Promise<TrainingSequence>;
};

/** Steps at which a training halts because something else happens there, ascending; step 0 is before it. */
export function stopsOf({ evaluationSteps, steps }: TrainingPlan, others: readonly number[] = []): number[] {
  const stops = new Set([...evaluationSteps.filter(step => step > 0), ...others, steps]);
  return [...stops].toSorted((a, b) => a - b);
}

/** Steps sent to the worker before their results are awaited. */
const stepsInFlight = 4;

/**
 * Train to `step`, from wherever the stage stands; nothing happens when it is past that. Metrics lines, a training state at each
 * multiple of save_steps and the ledger's line are on disk when this returns. A stage that the store has is read from it.
 */
export async function trainTo(run: RunContext, stage: Stage, step: number): Promise<void> {
  const { directory, config, reached } = run;
  for (let from = reached.get(stage.name) ?? 0; from < step; ) {
    await safePoint(run); // where the store has the stage nothing else asks
    const nextSave =
      config.save_steps === 0 ? step : (Math.floor(from / config.save_steps) + 1) * config.save_steps;
    const to = Math.min(step, nextSave);
    const stored = stage.name === 'sft' ? run.finishedSft : null;
    if (stored === null) await bringTo(run, stage, from);
    const lines =
      stored === null ? await trainSegment(run, stage, from, to) : linesBetween(stored.metrics, from, to);
    directory.appendMetrics(lines);
    await recordSegment(run, stage, to);
    reached.set(stage.name, to);
    from = to;
  }
}

function linesBetween(lines: readonly MetricsLine[], from: number, to: number): MetricsLine[] {
  return lines.filter(({ step }) => from < step && step <= to);
}

/** Make the worker hold the weights of the stage at `step`: as they are, from kept weights, or by training again in silence. */
export async function standAt(run: RunContext, stage: Stage | 'base', step: number): Promise<void> {
  const name = stage === 'base' ? 'base' : stage.name;
  const { standing } = run;
  if (standing.step === step && (standing.stage === name || step === 0)) return;
  if (await placeWeights(run, name, step)) return;
  if (stage === 'base') throw new Error('the base model can always be loaded');
  await bringTo(run, stage, step);
}

/** Digest of the weights in the worker. */
export async function standingDigest({ worker }: RunContext): Promise<string> {
  const digest = (await worker.status({ digest: true })).model?.weightsDigest;
  if (!digest) throw new Error('the worker gave no digest of its weights');
  return digest;
}

/** As `standAt`, with an optimiser that continues; training again writes nothing, and gives the same weights. */
async function bringTo(run: RunContext, stage: Stage, step: number): Promise<void> {
  const { stage: name, step: at, canTrain } = run.standing;
  const from = name === stage.name && canTrain && at <= step ? at : await loadLatestState(run, stage, step);
  if (from < step) await trainSegment(run, stage, from, step);
}

/** Load the last training state at or before `step`, or what the stage starts from; returns its step. */
async function loadLatestState(run: RunContext, stage: Stage, step: number): Promise<number> {
  const entry = run.directory.ledger.entries.findLast(
    found =>
      found.unit === 'train' && found.stage === stage.name && found.step <= step && isThere(run, found.state),
  );
  if (entry?.unit !== 'train' || entry.state === null) {
    const startsFromSft = stage.name === 'student' && run.config.tms.student_init === 'sft';
    if (startsFromSft) await placeWeights(run, 'sft', run.plan.sft.steps);
    else if (!(run.standing.step === 0 && run.standing.canTrain)) await placeWeights(run, 'base', 0);
    run.standing = { stage: stage.name, step: 0, canTrain: true };
    return 0;
  }
  await run.worker.load({
    ...loadOptions(run.config),
    model: run.directory.file(entry.state),
    restoreTrainingState: true,
  });
  run.standing = { stage: stage.name, step: entry.step, canTrain: true };
  return entry.step;
}

function isThere(run: RunContext, state: string | null): boolean {
  return state !== null && existsSync(run.directory.file(state));
}

/** Steps from + 1 … to. Gradients and steps are sent back to back: the worker never waits for us. */
async function trainSegment(run: RunContext, stage: Stage, from: number, to: number): Promise<MetricsLine[]> {
  const batchOf = batches(stage.plan.order);
  const lines: MetricsLine[] = [];
  const unit = `train ${stage.name} ${to}`;
  const work = async () => {
    const inFlight: Promise<MetricsLine>[] = [];
    const settle = async () => {
      const line = await inFlight.shift();
      if (line === undefined) return;
      lines.push(line);
      sayLost(run, stage, line);
      run.progress.update(`train ${stage.name}`, line.step, stage.plan.steps, line.num_tokens ?? 0);
    };
    for (let step = from; step < to; step++) {
      run.signal.throwIfAborted();
      const sequences = await Promise.all(batchOf(step).map(stage.sequenceOf));
      const line = trainStep(run, stage, step, sequences);
      line.catch(() => {}); // where an earlier one fails nobody awaits this one
      inFlight.push(line);
      if (inFlight.length >= stepsInFlight) await settle();
    }
    while (inFlight.length > 0) await settle();
    return { value: undefined, tokens: lines.reduce((sum, line) => sum + (line.num_tokens ?? 0), 0) };
  };
  if (run.directory.isTimed(stage.name, to)) await work();
  else await timed(run, { unit, kind: 'train', training: stage.name }, work);
  run.standing = { stage: stage.name, step: to, canTrain: true };
  return lines;
}

async function trainStep(
  run: RunContext,
  stage: Stage,
  step: number,
  sequences: TrainingSequence[],
): Promise<MetricsLine> {
  const { worker, config } = run;
  const rate = learningRate(stage.plan.schedule, step);
  const gradients = worker.forwardBackward(sequences, { dropoutSeed: (config.seed + step) % 2 ** 32 });
  const countUpdates = rate > 0 && isCounted(step, stage.plan.steps);
  const update = worker.optimStep({ ...stepOptions(run, rate), countUpdates });
  const [{ loss, tokens }, { gradNorm, updates }] = [await gradients, await update];
  const epoch = (step + 1) / stage.plan.stepsPerEpoch;
  const values = { epoch, loss, learning_rate: rate, grad_norm: gradNorm, num_tokens: tokens };
  return metricsLine.parse({ training: stage.name, step: step + 1, ...values, ...lostMetric(updates) });
}

function stepOptions({ config }: RunContext, learningRate: number): StepOptions {
  const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon, weight_decay: weightDecay } = config;
  return {
    adamw: { learningRate, beta1, beta2, epsilon, weightDecay },
    ...(config.optim === 'muon' ? { muon: { learningRate, weightDecay } } : {}),
    ...(config.max_grad_norm > 0 ? { maxGradNorm: config.max_grad_norm } : {}),
  };
}

/** Save what the segment's end needs, then the ledger's line, then remove older states. */
async function recordSegment(run: RunContext, stage: Stage, step: number): Promise<void> {
  const { directory, config } = run;
  const isEnd = step === stage.plan.steps;
  const isStored = stage.name === 'sft' && run.finishedSft !== null;
  const isSave = config.save_steps > 0 && step % config.save_steps === 0 && !isStored;
  if (!isEnd && !isSave) return;
  const path = isEnd ? `models/${stage.name}` : `states/${stage.name}-${stepName(step)}`;
  rmSync(directory.file(path), { recursive: true, force: true }); // a crash came between its rename and the ledger's line
  const weightsDigest = isStored ? copyStored(run, step, path) : await save(run, stage, path, isEnd);
  if (isEnd) refuseUnmoved(run, stage, weightsDigest);
  const state = isEnd ? null : path;
  directory.ledger.append({
    unit: 'train',
    stage: stage.name,
    step,
    state,
    metricsBytes: directory.metricsBytes,
    weightsDigest,
  });
  dropOldStates(run);
}

async function save(run: RunContext, stage: Stage, path: string, isEnd: boolean): Promise<string> {
  return timed(run, { unit: `save ${path}`, kind: 'save', training: stage.name }, async () => {
    // Whoever loads the weights stops where this run did.
    const saved = await run.worker.save(
      run.directory.file(path),
      isEnd ? { stopIds: run.stopIds } : { kind: 'trainingState' },
    );
    return { value: saved.weightsDigest, tokens: 0 };
  });
}

/** The store's weights become the run's own: a run directory stays whole when the store is pruned. */
function copyStored(
  { directory, store, sftKey, finishedSft }: RunContext,
  step: number,
  path: string,
): string {
  copyDirectoryAtomic(checkpointPath(store, sftKey, step), directory.file(path));
  return finishedSft?.weightsDigests[step] ?? '';
}

/** Remove the training states that nothing will continue from: of a finished stage, older than the last few, or left by a kill. */
export function dropOldStates({ directory, config }: RunContext): void {
  const kept = new Set((['sft', 'student', 'control'] as const).flatMap(stage => statesOf(directory, stage)));
  const folder = directory.file('states');
  for (const name of existsSync(folder) ? readdirSync(folder) : [])
    if (stateName.test(name) && !kept.has(`states/${name}`))
      rmSync(directory.file('states', name), { recursive: true, force: true });

  function statesOf({ ledger }: RunDirectory, stage: string): string[] {
    const states = ledger.entries.flatMap(entry =>
      entry.unit === 'train' && entry.stage === stage ? [entry.state] : [],
    );
    const limit = config.save_total_limit;
    if (limit !== null && states.at(-1) === null) return []; // finished
    return states.filter(state => state !== null).slice(limit === null ? 0 : -limit);
  }
}

const stateName = /^(sft|student|control)-step-\d{6,}$/;
