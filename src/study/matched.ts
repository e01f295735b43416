/**
 * Methods at equal target accuracy. For each replicate and method the recipe and step with the best retention is chosen among all
 * recorded points that reach the accuracy on the selection split; what it is worth is read on the test split, which nothing was chosen on. Pure.
 */
import { mean } from '../metrics/statistics.ts';
import { flippedSets, type Outcome, splitSets } from './outcomes.ts';
import type { Settings } from './points.ts';
import { differenceEstimate, estimate, type Found, keyOf, type Picked, pairsOf } from './quantities.ts';

/** A method at an accuracy. */
export type MatchedRow = {
  readonly method: string;
  /** Of `replicates` replicates so many reached the accuracy. */
  readonly reached: number;
  readonly replicates: number;
  /** On the test split, of those that reached it. */
  readonly target: Found | null;
  readonly retention: Found | null;
  /** Minus the reference, of replicates in which both reached it. */
  readonly difference: Found | null;
  readonly chosen: readonly { readonly recipe: Settings; readonly step: number }[];
};

export type MatchedLevel = { readonly accuracy: number; readonly rows: readonly MatchedRow[] };

const step = 0.05;

/** Every multiple of .05 above the mean base that a method reaches in at least half of its replicates. */
export function usualLevels(outcomes: readonly Outcome[]): number[] {
  const accuracies = (record: Outcome['base']) => splitSets(record, 'target', 'selection');
  const base = outcomes.map(({ base: record }) => right(accuracies(record))).filter(value => value !== null);
  if (base.length === 0) return [];
  const first = Math.ceil((mean(base) + 1e-9) / step);
  const all = Array.from({ length: Math.max(0, Math.round(1 / step) - first + 1) }, (_, i) =>
    Number(((first + i) * step).toFixed(2)),
  );
  const methods = [...new Set(outcomes.map(({ cell }) => cell.method))];
  return all.filter(level =>
    methods.some(method => {
      const { reached, replicates } = chosenAt(outcomes, method, level);
      return reached.length * 2 >= replicates && reached.length > 0;
    }),
  );
}

/** All methods at an accuracy, held against the reference. */
export function matchedAt(
  outcomes: readonly Outcome[],
  accuracy: number,
  { methods, reference }: { readonly methods: readonly string[]; readonly reference: string },
): MatchedLevel {
  const against = chosenAt(outcomes, reference, accuracy).reached;
  const rows = methods.map((method): MatchedRow => {
    const { reached, replicates } = chosenAt(outcomes, method, accuracy);
    const pairs = method === reference ? [] : pairsOf(reached, against);
    return {
      method,
      reached: reached.length,
      replicates,
      target: estimate(reached, 'target', 'test'),
      retention: estimate(reached, 'retention', 'test'),
      difference: differenceEstimate(pairs, 'retention', { split: 'test' }),
      chosen: reached.map(({ outcome, point }) => ({ recipe: outcome.cell.recipe, step: point.step })),
    };
  });
  return { accuracy, rows };
}

/** One point a replicate, of those in which some point reaches the accuracy. */
export function chosenAt(
  outcomes: readonly Outcome[],
  method: string,
  accuracy: number,
): { readonly reached: Picked[]; readonly replicates: number } {
  const own = outcomes.filter(({ cell }) => cell.method === method);
  const replicates = [...new Set(own.map(({ cell }) => keyOf(cell.replicate)))];
  const reached = replicates.flatMap(replicate => {
    const points = own
      .filter(({ cell }) => keyOf(cell.replicate) === replicate)
      .flatMap(outcome => outcome.points.map((measured): Picked => ({ ...measured, outcome })));
    const able = points.filter(
      ({ record }) => (right(splitSets(record, 'target', 'selection')) ?? 0) >= accuracy - 1e-9,
    );
    const kept = able.map(picked => ({ picked, change: selectionChange(picked) }));
    const [best] = kept.toSorted((a, b) => b.change - a.change || a.picked.point.step - b.picked.point.step);
    return best === undefined ? [] : [best.picked];
  });
  return { reached, replicates: replicates.length };
}

function selectionChange({ outcome, record }: Picked): number {
  const sets = flippedSets(
    splitSets(outcome.base, 'retention', 'selection'),
    splitSets(record, 'retention', 'selection'),
  );
  return sets.length === 0 ? 0 : mean(sets.map(({ gained, lost, items }) => (gained - lost) / items));
}

function right(
  sets: readonly { readonly items: readonly { readonly isCorrect: boolean }[] }[],
): number | null {
  if (sets.length === 0) return null;
  return mean(sets.map(({ items }) => items.filter(({ isCorrect }) => isCorrect).length / items.length));
}
