/** What will happen as asked and is hardly what was meant: sentences for `tms plan` and the beginning of a run. */
import type { RunConfig } from '../config/schema.ts';
import { formatCount } from './describe.ts';
import { PlanError } from './plan.ts';
import { reachOf, type TrainingPlan } from './training-plan.ts';

/** A training with its name. */
export type NamedTraining = { readonly name: string; readonly plan: TrainingPlan };

/** Throws `PlanError` where the learning rate is 0 at every step: such a training does nothing. */
export function refuseIdleTrainings(trainings: readonly NamedTraining[]): void {
  for (const { name, plan } of trainings) {
    if (reachOf(plan.schedule).highest > 0) continue;
    const { steps, schedule } = plan;
    throw new PlanError(
      `the learning rate is 0 at every step of ${name}: ${steps} ${steps === 1 ? 'step' : 'steps'} in all, and a warm-up of ` +
        `${schedule.warmupSteps}, whose first step has rate 0`,
      { fix: 'train longer, or set warmup_steps: 0 (and no warmup_ratio)' },
    );
  }
}

/** In the order of the trainings; none where all is as it should be. */
export function cautionsOf(config: RunConfig, trainings: readonly NamedTraining[]): string[] {
  return [...trainings.flatMap(warmupCaution), ...batchCaution(trainings), ...precisionCaution(config)];
}

function warmupCaution({ name, plan: { schedule } }: NamedTraining): string[] {
  const { highest, stepsAboveZero } = reachOf(schedule);
  if (highest === schedule.peak) return [];
  const { steps, warmupSteps, peak } = schedule;
  return [
    `${name} ends in its warm-up (${steps} of ${warmupSteps} steps): the learning rate reaches ${shortNumber(highest)}, never ` +
      `${shortNumber(peak)}, and is above 0 at ${stepsAboveZero} of ${steps} steps`,
  ];
}

function batchCaution([first]: readonly NamedTraining[]): string[] {
  if (first === undefined) return [];
  const { batchSize, examples } = first.plan.order;
  if (batchSize <= examples) return [];
  return [
    `a step takes up to ${formatCount(batchSize)} examples (per_device_train_batch_size × gradient_accumulation_steps) and there are ` +
      `${formatCount(examples)}: every epoch is one step on all of them`,
  ];
}

/** A number with 8 significant bits does not change where less than about 2⁻⁹ of it is added. */
function precisionCaution({ dtype, use_peft, learning_rate, weight_rounding }: RunConfig): string[] {
  if (dtype !== 'bfloat16' || use_peft || weight_rounding !== 'nearest') return [];
  return [
    `dtype: bfloat16 with weight_rounding: nearest holds and updates the weights in 8 significant bits: an update is about the learning rate, and where it is below ` +
      `1/512 of a weight it is rounded away (at ${shortNumber(learning_rate)}: every weight above ${shortNumber(512 * learning_rate)}). ` +
      'What is most likely wanted is bf16: true with dtype: float32, or weight_rounding: stochastic where memory is short',
  ];
}

/** Up to three significant digits. */
function shortNumber(value: number): string {
  return String(Number(value.toPrecision(3)));
}
