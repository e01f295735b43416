/** Whether a training moves its weights: updates that rounding loses are counted and said, a training that moved nothing is refused. */
import { TmsError } from '../errors.ts';
import { learningRate } from '../plan/schedule.ts';
import { lostSentence, worthSaying } from '../run/lost-updates.ts';
import type { MetricsLine } from '../run/records.ts';
import type { Result } from '../worker/protocol.ts';
import type { Run } from './run.ts';
import type { Steps } from './steps.ts';

/** Updates are counted at about 16 steps, evenly spread, the last included. */
export function isCounted(step: number, steps: number): boolean {
  const distance = Math.ceil(steps / 16);
  return (steps - 1 - step) % distance === 0;
}

/** Once a training: at the first step at which updates are counted and the rate is above 0. */
export function sayLost(
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
export function lostMetric(updates: Result<'optimStep'>['updates']): { lost_updates?: number } {
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
          ? 'set dtype: float32 and bf16: true, so that small updates are not rounded away, or raise learning_rate'
          : 'raise learning_rate',
    },
  );
}
