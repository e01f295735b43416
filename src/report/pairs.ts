/** All evaluations of a run are of the same items: differences are paired, so anything else would be wrong without a sign. */
import type { EvaluationRecord } from '../run/records.ts';
import type { Training } from '../run/trainings.ts';
import type { Curve } from './points.ts';
import { corrupt } from './run-files.ts';

/** Throws `TmsError` naming `file` unless `record` has the sets and items of `first`. */
export function checkSameItems(first: EvaluationRecord, record: EvaluationRecord, file: string): void {
  const [expected, found] = [itemNames(first), itemNames(record)];
  const different = found.findIndex((name, i) => name !== expected[i]);
  if (different === -1 && found.length === expected.length) return;
  const where = `${found[different] ?? 'nothing more'}, where the evaluation of ${first.training} at step ${first.step} has ${expected[different] ?? 'nothing more'}`;
  throw corrupt(file, null, `evaluates other items: ${where}`);
}

/** Whether two evaluations are of the same items. */
export function haveSameItems(a: EvaluationRecord, b: EvaluationRecord): boolean {
  return itemNames(a).join('\n') === itemNames(b).join('\n');
}

function itemNames(record: EvaluationRecord): string[] {
  return record.sets.flatMap(set => [
    `set ${set.name}`,
    ...set.items.map(({ id }) => `${set.name} item ${id}`),
  ]);
}

// Which training of one run is held against which of another. Pure.

export type Pair = { readonly before: Curve; readonly after: Curve };

/**
 * Each training of the later run with that of the same role and label; a method or baseline that has none with the last one of its role
 * that is left over; a method where the first run has no method with each of its baselines.
 */
export function pairsOf(before: readonly Curve[], after: readonly Curve[]): Pair[] {
  const twins = after.flatMap(now => {
    const twin = before.find(one => isAlike(one.training, now.training));
    return twin === undefined ? [] : [{ before: twin, after: now }];
  });
  const leftBefore = before.filter(one => !twins.some(pair => pair.before === one));
  const leftAfter = after.filter(one => !twins.some(pair => pair.after === one));
  const others = (['baseline', 'method'] as const).flatMap(role => {
    const isOfRole = ({ training }: Curve) => training.role === role;
    const [old, now] = [leftBefore.findLast(isOfRole), leftAfter.findLast(isOfRole)];
    return old === undefined || now === undefined ? [] : [{ before: old, after: now }];
  });
  const hasMethod = before.some(({ training }) => training.role === 'method');
  const alone = hasMethod ? [] : after.filter(({ training }) => training.role === 'method');
  const baselines = before.filter(({ training }) => training.role === 'baseline');
  const crossed = alone.flatMap(now => baselines.map(old => ({ before: old, after: now })));
  const place = ({ after: { training } }: Pair) => after.findIndex(one => one.training === training);
  return [...twins, ...others, ...crossed].toSorted((one, other) => place(one) - place(other));
}

function isAlike(one: Training, other: Training): boolean {
  return one.role === other.role && one.label === other.label;
}
