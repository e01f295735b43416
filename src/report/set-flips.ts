/** Items that a training got wrong or right in contrast to the base, set by set. */
import { type Change, type Flips, flipsBetween } from '../metrics/retention.ts';
import { type Verdict, verdictOf } from '../metrics/verdict.ts';
import { evaluationOf, lastPoint } from './points.ts';
import type { Analysis } from './rows.ts';

export type FlippedItem = {
  readonly set: string;
  readonly id: string;
  readonly direction: 'right→wrong' | 'wrong→right';
  readonly baseAnswer: string | null;
  readonly answer: string | null;
};

export type TrainingFlips = {
  readonly training: string;
  readonly label: string;
  readonly step: number;
  /** Over all retention sets. */
  readonly change: Change | null;
  readonly verdict: Verdict;
  readonly sets: readonly SetFlips[];
  readonly items: readonly FlippedItem[];
};

/** A verdict is about retention: null for a set of the target. */
export type SetFlips = Flips & { readonly change: Change | null; readonly verdict: Verdict | null };

/** Flips from the base to the last point of every training. Empty where the base was not measured. */
export function flipsOf({ results, base, curves, margin }: Analysis): TrainingFlips[] {
  const before = base === null ? undefined : evaluationOf(results, base);
  if (before === undefined) return [];
  return curves.flatMap(curve => {
    const point = lastPoint(curve);
    const after = point === null ? undefined : evaluationOf(results, point);
    if (point === null || after === undefined) return [];
    const sets = flipsBetween(before.sets, after.sets).map(flips => {
      const set = point.sets.find(({ name }) => name === flips.name);
      const change = set?.change ?? null;
      return { ...flips, change, verdict: set?.role === 'retention' ? verdictOf(change, margin) : null };
    });
    const items = sets.flatMap(flips =>
      flippedItems(flips, answersIn(before, flips.name), answersIn(after, flips.name)),
    );
    const { step, change } = point;
    const { name: training, label } = curve.training;
    return [{ training, label, step, change, verdict: verdictOf(change, margin), sets, items }];
  });
}

type SetRow = Pick<SetFlips, 'name' | 'change' | 'verdict'>;

/** One line a set, the target first, and before several retention sets one over all of them. */
export function setRows({ change, verdict, sets }: TrainingFlips): SetRow[] {
  const target = sets.filter(set => set.verdict === null);
  const retention = sets.filter(set => set.verdict !== null);
  const overall = { name: `all ${retention.length} retention sets`, change, verdict };
  return [
    ...target.map(set => ({ ...set, name: `${set.name} (target)` })),
    ...(retention.length > 1 ? [overall] : []),
    ...retention,
  ];
}

type Answers = ReadonlyMap<string, string | null>;
type Evaluation = NonNullable<ReturnType<typeof evaluationOf>>;

function answersIn(evaluation: Evaluation, name: string): Answers {
  const items = evaluation.sets.find(set => set.name === name)?.items ?? [];
  return new Map(items.map(({ id, answer }) => [id, answer]));
}

function flippedItems(
  { name, rightToWrong, wrongToRight }: Flips,
  before: Answers,
  after: Answers,
): FlippedItem[] {
  const describe = (ids: readonly string[], direction: FlippedItem['direction']) =>
    ids.map(id => ({
      set: name,
      id,
      direction,
      baseAnswer: before.get(id) ?? null,
      answer: after.get(id) ?? null,
    }));
  return [...describe(rightToWrong, 'right→wrong'), ...describe(wrongToRight, 'wrong→right')];
}
