/** What several replicates of a run (seeds, bases) show together: replicates are the outer level of every interval. Pure. */
import { type Flipped, type Interval, mean, outer, pairedScoreIntervalOfMean, pooled } from './statistics.ts';
import { scoreTest, tInterval, tTest } from './t-test.ts';

/** `values`: of each replicate. `interval` is of 95 %, null where nothing can be said; `p`: two-sided, of 0. */
export type Estimate = {
  readonly mean: number;
  readonly values: readonly number[];
  readonly interval: Interval | null;
  readonly p: number | null;
};

/** The mean of a number that each replicate has one of. */
export function estimateOf(values: readonly number[]): Estimate | null {
  if (values.length === 0) return null;
  return { mean: mean(values), values, interval: tInterval(values), p: tTest(values) };
}

/**
 * A change of accuracy on the same items in every replicate: `replicates` by set. The outer one of Student's t over replicates, which
 * covers other seeds, and Tango's interval of the mean counts, which covers other items and is all that one replicate has.
 */
export function changeEstimate(replicates: readonly (readonly Flipped[])[]): Estimate | null {
  const [first] = replicates;
  if (first === undefined || first.length === 0) return null;
  const values = replicates.map(sets => mean(sets.map(({ gained, lost, items }) => (gained - lost) / items)));
  const averaged = first.map((_, i) => averageOf(replicates.flatMap(sets => sets[i] ?? [])));
  const ofItems = pairedScoreIntervalOfMean(averaged);
  const ofReplicates = tInterval(values);
  const p = Math.max(scoreTest(pooled(averaged)), tTest(values) ?? 0);
  const whole = ofReplicates === null ? ofItems : outer(ofItems, ofReplicates);
  return { mean: mean(values), values, interval: within(whole, -1, 1), p };
}

/** What an accuracy, or a change of one, cannot pass is no part of its interval. */
export function within({ low, high }: Interval, least: number, most: number): Interval {
  return { low: Math.max(least, low), high: Math.min(most, high) };
}

/** Replicates share their items, so a set is as large as it is in one of them. */
function averageOf(sets: readonly Flipped[]): Flipped {
  const average = (of: (set: Flipped) => number) => mean(sets.map(of));
  return {
    gained: average(({ gained }) => gained),
    lost: average(({ lost }) => lost),
    items: average(({ items }) => items),
  };
}
