/** Evaluation sets that chose a point: they say nothing of it, nor of what it is held against. Pure. */
import type { EvaluationRecord } from '../run/records.ts';
import type { Results } from './results.ts';

/** The same without these sets, in every evaluation. */
export function withoutSets<T extends Pick<Results, 'evaluations' | 'selectionSets'>>(
  results: T,
  names: readonly string[],
): T {
  if (names.length === 0) return results;
  const keep = (sets: EvaluationRecord['sets']) => sets.filter(({ name }) => !names.includes(name));
  const evaluations = results.evaluations.map(one => ({
    ...one,
    sets: keep(one.sets),
    ...(one.again !== undefined && { again: { ...one.again, sets: keep(one.again.sets) } }),
  }));
  return { ...results, evaluations, selectionSets: [...new Set([...results.selectionSets, ...names])] };
}

/** What is left out, for notes on tables. */
export function selectionNote(names: readonly string[]): string[] {
  return names.length === 0
    ? []
    : [`Left out everywhere, because a point was chosen on them: ${names.join(', ')}.`];
}
