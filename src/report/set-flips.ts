/** Items that a training got wrong or right in contrast to the base, set by set. */
import { type Flips, flipsBetween } from '../metrics/retention.ts';
import { evaluationOf, lastPoint, type Trained } from './points.ts';
import type { Analysis } from './rows.ts';

export type FlippedItem = {
  readonly set: string;
  readonly id: string;
  readonly direction: 'right→wrong' | 'wrong→right';
  readonly baseAnswer: string | null;
  readonly answer: string | null;
};

export type ModelFlips = {
  readonly model: Trained;
  readonly step: number;
  readonly sets: readonly Flips[];
  readonly items: readonly FlippedItem[];
};

/** Flips from the base to the last point of every training. Empty where the base was not measured. */
export function flipsOf({ results, base, curves }: Analysis): ModelFlips[] {
  const before = base === null ? undefined : evaluationOf(results, base);
  if (before === undefined) return [];
  return curves.flatMap(curve => {
    const point = lastPoint(curve);
    const after = point === null ? undefined : evaluationOf(results, point);
    if (point === null || after === undefined) return [];
    const sets = flipsBetween(before.sets, after.sets);
    const items = sets.flatMap(flips =>
      flippedItems(flips, answersIn(before, flips.name), answersIn(after, flips.name)),
    );
    return [{ model: curve.model, step: point.step, sets, items }];
  });
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
