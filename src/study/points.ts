/** The points of a grid. Pure. */
import type { StudyFile } from './study-file.ts';

/** Keys of a run with the values that they have at a point. */
export type Settings = Readonly<Record<string, unknown>>;

/** Points as they are listed, or every combination of the values of some keys, the last key changing fastest; one empty one where there are no keys. */
export function pointsOf(axes: StudyFile['replicates']): readonly Settings[] {
  if (Array.isArray(axes)) return axes;
  return Object.entries(axes).reduce<Settings[]>(
    (all, [key, values]) => all.flatMap(one => values.map(value => ({ ...one, [key]: value }))),
    [{}],
  );
}

/** Does a recipe have these values? */
export function fits(recipe: Settings, where: Settings): boolean {
  return Object.entries(where).every(([key, value]) => JSON.stringify(recipe[key]) === JSON.stringify(value));
}

/** Keys in which replicates differ, each with the value that every one of them has. */
export function levelsOf(
  replicates: readonly Settings[],
): { readonly key: string; readonly values: readonly string[] }[] {
  const keys = new Set(replicates.flatMap(({ name: _, ...keys }) => Object.keys(keys)));
  return [...keys]
    .map(key => ({ key, values: replicates.map(replicate => JSON.stringify(replicate[key]) ?? '') }))
    .filter(({ values }) => new Set(values).size > 1);
}
