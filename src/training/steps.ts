/** Optimiser steps, sent to the worker back to back. */
import { batches } from '../plan/order.ts';
import { learningRate } from '../plan/schedule.ts';
import type { TrainingPlan } from '../plan/training-plan.ts';
import { type MetricsLine, metricsLine } from '../run/records.ts';
import type { StepOptions } from '../worker/worker.ts';
import type { Loss } from './loss.ts';
import type { Policy } from './policy.ts';
import type { Run } from './run.ts';
import type { StepTargets, Targets } from './targets.ts';
import { isCounted, lostMetric, sayLost } from './weight-moves.ts';

/** A training as its steps need it. */
export type Steps = {
  readonly name: string;
  readonly plan: TrainingPlan;
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
  const [{ loss: value, tokens }, { gradNorm, updates }] = [await gradients, await update];
  const values = { loss: value, learning_rate: rate, grad_norm: gradNorm, num_tokens: tokens };
  return metricsLine.parse({ ...place, ...values, ...lostMetric(updates), ...metrics });
}

function stepOptions({ config }: Run, learningRate: number): StepOptions {
  const { adam_beta1: beta1, adam_beta2: beta2, adam_epsilon: epsilon, weight_decay: weightDecay } = config;
  return {
    adamw: { learningRate, beta1, beta2, epsilon, weightDecay },
    ...(config.optim === 'muon' ? { muon: { learningRate, weightDecay } } : {}),
    ...(config.max_grad_norm > 0 ? { maxGradNorm: config.max_grad_norm } : {}),
  };
}
