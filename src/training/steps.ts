/** Optimiser steps, sent to the worker back to back. */

import { TmsError } from '../errors.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import { batches, learningRate } from '../plan/training-plan.ts';
import { lostSentence, worthSaying } from '../run/lost-updates.ts';
import { type MetricsLine, metricsLine } from '../run/records.ts';
import type { Result } from '../worker/protocol.ts';
import type { StepOptions } from '../worker/worker.ts';
import type { Loss } from './loss.ts';
import type { Policy } from './policy.ts';
import { writeRollouts } from './rollouts.ts';
import type { Run } from './run.ts';
import type { StepTargets, Targets } from './targets.ts';
/** A training as its steps need it. */
export type Steps = {
  readonly name: string;
  readonly plan: PlannedTraining;
  readonly on: Targets;
  readonly loss: Loss;
  /** The weights before a step, from 0; asked where targets are on-policy. */
  readonly policyAt: (step: number) => Policy;
};

/** Steps sent to the worker before their results are awaited. */
const stepsInFlight = 4;

/** Steps from + 1 … to: the worker never waits for us, unless what a step learns is to be asked of it. */
export async function takeSteps(
  run: Run,
  training: Steps,
  [from, to]: [number, number],
): Promise<MetricsLine[]> {
  const { name, plan, on } = training;
  const batchOf = batches(plan.order);
  const lines: MetricsLine[] = [];
  const inFlight: Promise<MetricsLine>[] = [];
  const settle = async () => {
    const line = await inFlight.shift();
    if (line === undefined) return;
    lines.push(line);
    sayLost(run, training, line);
    run.progress.update(`train ${name}`, line.step, plan.steps, line.num_tokens ?? 0);
  };
  for (let step = from; step < to; step++) {
    run.signal.throwIfAborted();
    while (on.isOnPolicy && inFlight.length > 0) await settle();
    const targets = await on.of(batchOf(step), step, training.policyAt(step));
    if (on.isOnPolicy) writeRollouts(run, { training: name, step: step + 1 }, targets.sequences);
    const line = takeStep(run, training, step, targets);
    line.catch(() => {}); // where an earlier one fails nobody awaits this one
    inFlight.push(line);
    if (inFlight.length >= stepsInFlight) await settle();
  }
  while (inFlight.length > 0) await settle();
  return lines;
}

async function takeStep(
  run: Run,
  { name, plan, loss }: Steps,
  step: number,
  { sequences, metrics = {} }: StepTargets,
): Promise<MetricsLine> {
  const { worker, config } = run;
  const rate = learningRate(plan.schedule, step);
  const epoch = (step + 1) / plan.stepsPerEpoch;
  const place = { training: name, step: step + 1, epoch };
  if (sequences.length === 0)
    return metricsLine.parse({ ...place, learning_rate: rate, num_tokens: 0, ...metrics });
  const dropoutSeed = (config.seed + step) % 2 ** 32;
  const gradients = worker.forwardBackward(sequences, { dropoutSeed, ...loss.optionsFor(sequences) });
  const countUpdates = rate > 0 && isCounted(step, plan.steps);
  const update = worker.optimStep({ ...stepOptions(run, rate), countUpdates });
  const { rate: referenceRate = 0 } = plan.reference ?? {};
  const moved = referenceRate > 0 ? worker.keep({ share: referenceRate }) : null; // sent behind the step, before the next
  moved?.catch(() => {}); // where an earlier one fails nobody awaits this one
  const [{ loss: value, tokens }, { gradNorm, updates }] = [await gradients, await update];
  await moved;
  const values = { loss: value, learning_rate: rate, grad_norm: gradNorm, num_tokens: tokens };
  return metricsLine.parse({ ...place, ...values, ...lostMetric(updates), ...metrics });
}

function stepOptions({ config }: Run, learningRate: number): StepOptions {
  const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon, weight_decay: weightDecay } = config;
  return {
    adamw: { learningRate, beta1, beta2, epsilon, weightDecay, eightBit: config.optim === 'adamw_8bit' },
    ...(config.optim === 'muon' ? { muon: { learningRate, weightDecay } } : {}),
    ...(config.max_grad_norm > 0 ? { maxGradNorm: config.max_grad_norm } : {}),
  };
}

// Whether a training moves its weights: updates that rounding loses are counted and said, a training that moved
// nothing is refused.

/** Updates are counted at about 16 steps, evenly spread, the last included. */
function isCounted(step: number, steps: number): boolean {
  const distance = Math.ceil(steps / 16);
  return (steps - 1 - step) % distance === 0;
}

/** Once a training: at the first step at which updates are counted and the rate is above 0. */
function sayLost(
  { config, progress }: Run,
  { name, plan }: Steps,
  { step, lost_updates }: MetricsLine,
): void {
  if (lost_updates === undefined || lost_updates <= worthSaying) return;
  const earlier = Array.from({ length: step - 1 }, (_, i) => i);
  if (earlier.some(i => isCounted(i, plan.steps) && learningRate(plan.schedule, i) > 0)) return;
  progress.say(`warning: step ${step} of ${name}: ${lostSentence(lost_updates, config.dtype)}`);
}

/** As a line of metrics has it: nothing where no update was lost. */
function lostMetric(updates: Result<'optimStep'>['updates']): { lost_updates?: number } {
  return updates === null || updates.lost === 0 ? {} : { lost_updates: updates.lost / updates.counted };
}

/** A training that changed nothing is no result: what is measured of it would be measured of what it began with. */
export function refuseUnmoved(
  { config }: Run,
  { name, plan }: Steps,
  { before, after }: { readonly before: string; readonly after: string },
): void {
  if (after !== before) return;
  const { steps, schedule } = plan;
  throw new TmsError(
    `the training of ${name} changed no weight: after ${steps} steps at up to ${schedule.peak} they are bit for bit those that it began with`,
    {
      fix:
        config.dtype === 'bfloat16'
          ? 'set dtype: float32 and bf16: true or weight_rounding: stochastic, so that small updates are not rounded away, or raise learning_rate'
          : 'raise learning_rate',
    },
  );
}
