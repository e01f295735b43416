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

/**
 * By key in which replicates differ, the value that each of them has of it. Where keys are crossed (bases × seeds), replicates of one
 * value are not independent: nine of three bases say of other bases what three do.
 */
export type Levels = readonly (readonly string[])[];

/** The mean of a number that each replicate has one of. */
export function estimateOf(values: readonly number[], levels: Levels = []): Estimate | null {
  if (values.length === 0) return null;
  return { mean: mean(values), values, ...overReplicates(values, levels) };
}

/** Student's t over the means at the values of each key; the outer one of them covers other values of all keys. */
function overReplicates(values: readonly number[], levels: Levels): Pick<Estimate, 'interval' | 'p'> {
  const units = levels.length === 0 ? [values] : levels.map(labels => meansAt(labels, values));
  const intervals = units.map(tInterval).filter(one => one !== null);
  const ps = units.map(tTest).filter(one => one !== null);
  const [first] = intervals;
  if (first === undefined) return { interval: null, p: null };
  return { interval: intervals.reduce(outer, first), p: Math.max(...ps) };
}

function meansAt(labels: readonly string[], values: readonly number[]): number[] {
  return [...new Set(labels)].map(label => mean(values.filter((_, i) => labels[i] === label)));
}

/**
 * A change of accuracy on the same items in every replicate: `replicates` by set. The outer one of Student's t over replicates, which
 * covers other seeds, and Tango's interval of the mean counts, which covers other items and is all that one replicate has.
 */
export function changeEstimate(
  replicates: readonly (readonly Flipped[])[],
  levels: Levels = [],
): Estimate | null {
  const [first] = replicates;
  if (first === undefined || first.length === 0) return null;
  const values = replicates.map(sets => mean(sets.map(({ gained, lost, items }) => (gained - lost) / items)));
  const averaged = first.map((_, i) => averageOf(replicates.flatMap(sets => sets[i] ?? [])));
  const ofItems = pairedScoreIntervalOfMean(averaged);
  const ofReplicates = overReplicates(values, levels);
  const p = Math.max(scoreTest(pooled(averaged)), ofReplicates.p ?? 0);
  const whole = ofReplicates.interval === null ? ofItems : outer(ofItems, ofReplicates.interval);
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
