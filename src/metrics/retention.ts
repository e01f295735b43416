/** What two evaluations on the same items say about each other: accuracy, its change, and which items flipped. Pure. */
import {
  bootstrapInterval,
  type Flipped,
  type Interval,
  mean,
  meanOfMeans,
  outer,
  pairedScoreInterval,
  pairedScoreIntervalOfMean,
  wilsonInterval,
  wilsonIntervalOfMean,
} from './statistics.ts';
export type ScoredItem = { readonly id: string; readonly isCorrect: boolean };

/** The items of one evaluation set, in the order of the set, with one model's result for each. */
export type ScoredSet = { readonly name: string; readonly items: readonly ScoredItem[] };

/** Accuracy as the mean over sets. The interval covers the choice of items, given this one trained model. */
export type Accuracy = {
  readonly mean: number;
  readonly interval: Interval;
  readonly items: number;
  readonly sets: number;
};

/** Change of accuracy, in shares (−0.1: one item in ten fewer), with how many items it rests on. The interval covers the choice of items, not seeds. */
export type Change = Accuracy & {
  /** Items that became right. */
  readonly gained: number;
  /** Items that became wrong. */
  readonly lost: number;
};

/** Accuracy of one model, averaged over sets that each have items; null without sets. Wilson's interval; over several sets the outer one of it and a bootstrap. */
export function accuracyOf(sets: readonly ScoredSet[], seed: number): Accuracy | null {
  if (sets.length === 0) return null;
  const results = sets.map(({ items }) => items.map(({ isCorrect }) => Number(isCorrect)));
  const counts = results.map(values => ({ right: sumOf(values), items: values.length }));
  const [only] = counts;
  const interval =
    only !== undefined && counts.length === 1
      ? wilsonInterval(only.right, only.items)
      : outer(wilsonIntervalOfMean(counts), bootstrapInterval(results, seed));
  return { mean: meanOfMeans(results), interval, items: results.flat().length, sets: sets.length };
}

/**
 * Δ = mean over sets of (accuracy of `after` − accuracy of `before`), paired item by item; null without sets.
 * For retention sets and `before` = the base model this is Δ retention, and −Δ is called forgetting.
 * Throws RangeError unless both have the same sets and items in the same order.
 */
export function accuracyChange(
  before: readonly ScoredSet[],
  after: readonly ScoredSet[],
  seed: number,
): Change | null {
  if (after.length === 0) return null;
  return changeOf(pairSets(before, after).map(countFlips), seed);
}

/** The change that these counts are, averaged over sets. Tango's interval; over several sets the outer one of it and the paired bootstrap. */
export function changeOf(sets: readonly Flipped[], seed: number): Change {
  const [only] = sets;
  const interval =
    only !== undefined && sets.length === 1
      ? pairedScoreInterval(only)
      : outer(pairedScoreIntervalOfMean(sets), bootstrapInterval(sets.map(differencesOf), seed));
  return {
    mean: mean(sets.map(({ gained, lost, items }) => (gained - lost) / items)),
    interval,
    items: sumOf(sets.map(({ items }) => items)),
    sets: sets.length,
    gained: sumOf(sets.map(({ gained }) => gained)),
    lost: sumOf(sets.map(({ lost }) => lost)),
  };
}

/** Ids of the items of one set whose result differs between two models, and how many there are in all. */
export type Flips = {
  readonly name: string;
  readonly items: number;
  readonly rightToWrong: readonly string[];
  readonly wrongToRight: readonly string[];
};

/** Flips of each set. Throws as `accuracyChange`. */
export function flipsBetween(before: readonly ScoredSet[], after: readonly ScoredSet[]): Flips[] {
  return pairSets(before, after).map(({ name, pairs }) => {
    const idsWhere = (old: boolean, now: boolean) =>
      pairs.filter(([a, b]) => a.isCorrect === old && b.isCorrect === now).map(([a]) => a.id);
    return {
      name,
      items: pairs.length,
      rightToWrong: idsWhere(true, false),
      wrongToRight: idsWhere(false, true),
    };
  });
}

function countFlips({ pairs }: PairedSet): Flipped {
  const count = (old: boolean) => pairs.filter(([a, b]) => a.isCorrect === old && b.isCorrect !== old).length;
  return { gained: count(false), lost: count(true), items: pairs.length };
}

function differencesOf({ gained, lost, items }: Flipped): number[] {
  return Array.from({ length: items }, (_, i) => (i < gained ? 1 : i < gained + lost ? -1 : 0));
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

type PairedSet = { readonly name: string; readonly pairs: readonly (readonly [ScoredItem, ScoredItem])[] };

function pairSets(before: readonly ScoredSet[], after: readonly ScoredSet[]): PairedSet[] {
  return after.map(({ name, items }) => {
    const counterpart = before.find(set => set.name === name)?.items ?? [];
    const pairs = items.flatMap((now, i) => {
      const old = counterpart[i];
      return old === undefined || old.id !== now.id ? [] : [[old, now] as const];
    });
    if (pairs.length !== items.length || counterpart.length !== items.length) {
      throw new RangeError(`set ${name}: the two evaluations are not of the same items in the same order`);
    }
    return { name, pairs };
  });
}

// What a change of accuracy says about a loss that one is ready to accept. Pure.

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

/** What a bound on the drop says of a change, the most serious first. */
export const gateOutcomes = ['failed', 'inconclusive', 'not measured', 'passed'] as const;
export type GateOutcome = (typeof gateOutcomes)[number];

/** `failed`: the whole interval lies below −maxDrop, so the drop is surely larger. `passed`: it lies above. `inconclusive`: −maxDrop is in it. */
export function gateOutcomeOf(change: Change | null, maxDrop: number): GateOutcome {
  if (change === null) return 'not measured';
  const { low, high } = change.interval;
  if (high < -maxDrop) return 'failed';
  return low > -maxDrop ? 'passed' : 'inconclusive';
}
