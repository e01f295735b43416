/** What two evaluations on the same items say about each other: accuracy, its change, and which items flipped. Pure. */
import { bootstrapInterval, type Interval, mean, meanOfMeans, wilsonInterval } from './statistics.ts';

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

/** Change of accuracy, in shares (−0.1: one item in ten fewer). The interval covers the choice of items, not seeds. */
export type Change = Accuracy;

/** Accuracy of one model, averaged over sets that each have items; null without sets. Wilson's interval for one set, else a bootstrap. */
export function accuracyOf(sets: readonly ScoredSet[], seed: number): Accuracy | null {
  const [first] = sets;
  if (first === undefined) return null;
  const results = sets.map(({ items }) => items.map(({ isCorrect }) => Number(isCorrect)));
  const right = first.items.filter(({ isCorrect }) => isCorrect).length;
  const interval =
    sets.length === 1 ? wilsonInterval(right, first.items.length) : bootstrapInterval(results, seed);
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
  const differences = pairSets(before, after).map(({ pairs }) =>
    pairs.map(([old, now]) => Number(now.isCorrect) - Number(old.isCorrect)),
  );
  return {
    mean: mean(differences.map(mean)),
    interval: bootstrapInterval(differences, seed),
    items: differences.flat().length,
    sets: differences.length,
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
