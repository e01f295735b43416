/** What a change of accuracy says about a loss that one is ready to accept. Pure. */
import type { Change } from './retention.ts';

/** In the order of a report. */
export const verdicts = ['lost', 'inconclusive', 'kept', 'not measured'] as const;
export type Verdict = (typeof verdicts)[number];

/**
 * `kept`: the whole interval lies above −margin, so a loss as large as the margin is excluded (non-inferiority).
 * `lost`: it lies below 0 and reaches down to the margin. `inconclusive`: neither; the sets are too small to tell.
 * An interval between −margin and 0 shows a loss, but one that is accepted: it is `kept`, and `isSmallLoss`.
 */
export function verdictOf(change: Change | null, margin: number): Verdict {
  if (change === null) return 'not measured';
  const { low, high } = change.interval;
  if (low > -margin) return 'kept';
  return high < 0 ? 'lost' : 'inconclusive';
}

/** Whether a change is a loss for certain, and yet smaller than the margin. */
export function isSmallLoss(change: Change | null, margin: number): boolean {
  return change !== null && change.interval.high < 0 && change.interval.low > -margin;
}
