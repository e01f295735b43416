/** What a plan of drawn answers can hold: every visit is drawn when it is made, in some microseconds, and every answer has a bit. */
import type { DrawOptions } from './draws.ts';
import { PlanError } from './plan-error.ts';
import { formatCount } from './units.ts';

/** Some minutes of drawing. */
const mostVisits = 30e6;
/** Rows of the table that a training's targets are read from. */
const mostAnswers = 30e6;
/** Half a gigabyte of bits. */
const mostBits = 2 ** 32;

/** Throws `PlanError` where drawing would take hours or more memory than there is. */
export function refuseImmense(
  { visits, checkpoints, samplesPerPrompt }: DrawOptions,
  { examples, isLazy }: { readonly examples: number; readonly isLazy: boolean },
): void {
  if (visits > mostVisits) {
    throw new PlanError(
      `a training would visit ${formatCount(visits)} examples; at most ${formatCount(mostVisits)} can be drawn`,
      { fix: 'lower num_train_epochs or max_steps (or the epochs of that training alone)' },
    );
  }
  const answers = examples * checkpoints * samplesPerPrompt;
  const most = isLazy ? mostBits : mostAnswers;
  if (answers <= most) return;
  const product = `${formatCount(examples)} examples × ${formatCount(checkpoints)} checkpoints × ${formatCount(samplesPerPrompt)} samples`;
  throw new PlanError(
    `${product} are ${formatCount(answers)} answers; at most ${formatCount(most)} can be planned`,
    {
      fix: `lower num_checkpoints or samples_per_prompt${isLazy ? '' : ', or set lazy_harvest: true'}`,
    },
  );
}
