/** What does not fit together in a study, or in what is expected of it. Pure. */
import { type Path, type Problem, show } from '../config/problems.ts';
import { nearest } from '../config/suggest.ts';
import { fits, pointsOf } from './points.ts';
import type { Claim, CorrelationClaim, Direction, Expectation, Quantity, StudyFile } from './study-file.ts';

/** What is wrong, without its line. */
export type Fault = Omit<Problem, 'line'>;

/** What does not fit together in a study. */
export function studyFaults({ methods, grid, replicates, claims, ...study }: StudyFile): Fault[] {
  const names = methods.map(({ name }) => name);
  return [
    ...repeated(names).map(i => fault(['methods', i, 'name'], names[i], 'a name that no other method has')),
    ...methods.flatMap((method, i) => repeatedPoints(['methods', i, 'grid'], method.grid)),
    ...repeatedPoints(['grid'], grid),
    ...repeatedPoints(['replicates'], replicates),
    ...(['reference', 'noise_floor'] as const).flatMap(key => unknownMethod([key], study[key], names)),
    ...claims.flatMap((claim, i) => claimFaults(['claims', i], claim, { methods, grid })),
  ];
}

type Grid = Pick<StudyFile, 'methods' | 'grid'>;

/** Places of what has stood before. */
function repeated(values: readonly unknown[]): number[] {
  const texts = values.map(value => JSON.stringify(value));
  return [...texts.keys()].filter(i => texts.indexOf(texts[i] as string) < i);
}

function repeatedPoints(path: Path, points: StudyFile['replicates'] | null): Fault[] {
  const lists = Array.isArray(points) ? [[path, points] as const] : Object.entries(points ?? {});
  return lists.flatMap(([key, values]) => {
    const at = typeof key === 'string' ? [...path, key] : path;
    return repeated(values).map(i => fault([...at, i], values[i], 'each value once'));
  });
}

function unknownMethod(path: Path, name: string | null, names: readonly string[]): Fault[] {
  if (name === null || names.includes(name)) return [];
  const near = nearest(name, names);
  const hint = near === null ? null : `did you mean ${near}?`;
  return [fault(path, name, `the name of a method of the study: ${names.join(', ')}`, hint)];
}

/** A claim that nothing could be measured for, or that says less than its author believes. */
export function claimFaults(path: Path, claim: Claim | CorrelationClaim | Expectation, study: Grid): Fault[] {
  const names = study.methods.map(({ name }) => name);
  const faults = directionFaults(path, claim);
  if ('over' in claim)
    return [...faults, ...claim.over.flatMap((name, i) => unknownMethod([...path, 'over', i], name, names))];
  const { of, against, times } = claim;
  return [
    ...faults,
    ...unknownMethod([...path, 'of'], of, names),
    ...unknownMethod([...path, 'against'], against, names),
    ...(of === against ? [fault([...path, 'against'], against, 'another method than of')] : []),
    ...(against === null && times !== 1
      ? [fault([...path, 'times'], times, 'nothing, because there is no against')]
      : []),
    ...whereFaults([...path, 'where'], claim, study),
  ];
}

function whereFaults(path: Path, { of, where, at }: Quantity, { methods, grid }: Grid): Fault[] {
  const own = methods.find(({ name }) => name === of);
  if (own === undefined || Object.keys(where).length === 0) return [];
  if (at === 'matched') return [fault(path, where, 'nothing, because at: matched chooses among all recipes')];
  const recipes = pointsOf(own.grid ?? grid);
  if (recipes.some(recipe => fits(recipe, where))) return [];
  return [fault(path, where, `keys and values of a recipe of ${of}, such as ${show(recipes[0])}`)];
}

function directionFaults(path: Path, { above, below, within }: Direction): Fault[] {
  const given = [above, below, within].filter(value => value !== null);
  const found = `${given.length} of above, below and within`;
  if (given.length !== 1) return [{ path, found, expected: 'exactly one of them', hint: null }];
  if (within === null || within[0] < within[1]) return [];
  return [fault([...path, 'within'], within, 'the smaller number first')];
}

function fault(path: Path, found: unknown, expected: string, hint: string | null = null): Fault {
  return { path, found: show(found), expected, hint };
}
