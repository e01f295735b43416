/** All evaluations of a run are of the same items: differences are paired, so anything else would be wrong without a sign. */
import type { EvaluationRecord } from '../run/records.ts';
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
