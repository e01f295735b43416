/** Numbers of a study with replicates as their outer level: of a method, or of one minus another, at equal recipe or equal target accuracy. Pure. */
import { changeEstimate, type Estimate, estimateOf, type Levels, within } from '../metrics/replicates.ts';
import { accuracyOf } from '../metrics/retention.ts';
import { mean, outer } from '../metrics/statistics.ts';
import { haveSameItems } from '../report/pairs.ts';
import { bootstrapSeed } from '../report/points.ts';
import { settingsText } from './cells.ts';
import {
  doubtfulSets,
  flippedSets,
  type Measured,
  numberOf,
  type Outcome,
  type Split,
  splitSets,
} from './outcomes.ts';
import { fits, levelsOf, type Settings } from './points.ts';
import type { Measure } from './study-file.ts';

/** One point of one replicate, with its base. */
export type Picked = Measured & { readonly outcome: Outcome };

/** What makes two the same: a name alone does not. */
export const keyOf = (settings: Settings): string => JSON.stringify(settings);

/** Recipes of the grid that outcomes have, each once, in their order. */
export function recipesOf(outcomes: readonly Outcome[], where: Settings = {}): Settings[] {
  const all = outcomes.map(({ cell }) => cell.recipe).filter(recipe => fits(recipe, where));
  return all.filter((recipe, i) => all.findIndex(other => keyOf(other) === keyOf(recipe)) === i);
}

/** The last points of a method at a recipe, one a replicate. */
export function lastPoints(outcomes: readonly Outcome[], method: string, recipe: Settings): Picked[] {
  return outcomes
    .filter(({ cell }) => cell.method === method && keyOf(cell.recipe) === keyOf(recipe))
    .map(outcome => ({ ...outcome.last, outcome }));
}

/** What a recipe of one method is held against of another's: the same one, else those that agree in every key which both have. */
export function counterpartsOf(recipe: Settings, others: readonly Settings[]): readonly Settings[] {
  const same = others.filter(other => keyOf(other) === keyOf(recipe));
  if (same.length > 0) return same;
  const agrees = ([key, value]: [string, unknown]) =>
    key === 'name' || !(key in recipe) || JSON.stringify(recipe[key]) === JSON.stringify(value);
  return others.filter(other => Object.entries(other).every(agrees));
}

/** `5e-5`, or `5e-5 against 5e-5 × 48` where the recipes are not the same. */
export function recipePairText(recipe: Settings, other: Settings): string {
  const [one, two] = [settingsText(recipe), settingsText(other)];
  return keyOf(recipe) === keyOf(other) ? one : `${one} against ${two}`;
}

/** Points of two methods of the same replicates. */
export function pairsOf(ofs: readonly Picked[], againsts: readonly Picked[]): (readonly [Picked, Picked])[] {
  return ofs.flatMap(of => {
    const twin = againsts.find(
      against => keyOf(against.outcome.cell.replicate) === keyOf(of.outcome.cell.replicate),
    );
    // Of other items (a set was changed in between) there is no paired difference.
    return twin === undefined || !haveSameItems(of.record, twin.record) ? [] : [[of, twin] as const];
  });
}

/** `isDoubtful`: it is of retention, and too many answers have no end for that to mean anything. */
export type Found = Estimate & { readonly isDoubtful: boolean };

/** A measure of these points over replicates; null where one of them lacks it. Δ retention and changes of accuracy keep the interval of their items, too. */
export function estimate(points: readonly Picked[], measure: Measure, split: Split = 'all'): Found | null {
  const found = plainEstimate(points, measure, split);
  return found === null
    ? null
    : { ...found, isDoubtful: measure === 'retention' && points.some(point => runsOn(point, true)) };
}

/** `isOfBase`: Δ retention is against the base, so both must stop; in a plain difference of two models the base cancels. */
function runsOn({ outcome, record }: Picked, isOfBase: boolean): boolean {
  return doubtfulSets(outcome, isOfBase ? [outcome.base, record] : [record]).length > 0;
}

function plainEstimate(points: readonly Picked[], measure: Measure, split: Split): Estimate | null {
  if (measure === 'retention')
    return changeEstimate(
      points.map(({ outcome, record }) =>
        flippedSets(splitSets(outcome.base, measure, split), splitSets(record, measure, split)),
      ),
      levelsIn(points),
    );
  if (measure === 'target') return accuracyEstimate(points, split);
  return numbersOf(
    points.map(point => numberOf(point, measure)),
    levelsIn(points),
  );
}

/** One method minus `times` another, replicate by replicate. */
export function differenceEstimate(
  pairs: readonly (readonly [Picked, Picked])[],
  measure: Measure,
  options: { readonly split?: Split; readonly times?: number } = {},
): Found | null {
  const found = plainDifference(pairs, measure, options);
  const isDoubtful =
    measure === 'retention' &&
    pairs.flat().some(point => runsOn(point, options.times !== undefined && options.times !== 1));
  return found === null ? null : { ...found, isDoubtful };
}

function plainDifference(
  pairs: readonly (readonly [Picked, Picked])[],
  measure: Measure,
  { split = 'all', times = 1 }: { readonly split?: Split; readonly times?: number } = {},
): Estimate | null {
  const levels = levelsIn(pairs.map(([of]) => of));
  if (times === 1 && (measure === 'retention' || measure === 'target'))
    return changeEstimate(
      pairs.map(([of, against]) =>
        flippedSets(splitSets(against.record, measure, split), splitSets(of.record, measure, split)),
      ),
      levels,
    );
  const values = pairs.map(([of, against]) => {
    const [one, other] = [of, against].map(point => plainEstimate([point], measure, split)?.mean ?? null);
    return one === null || one === undefined || other === null || other === undefined
      ? null
      : one - times * other;
  });
  return numbersOf(values, levels);
}

function numbersOf(values: readonly (number | null)[], levels: Levels): Estimate | null {
  const known = values.filter(value => value !== null);
  return known.length < values.length ? null : estimateOf(known, levels);
}

function levelsIn(points: readonly Picked[]): Levels {
  return levelsOf(points.map(({ outcome }) => outcome.cell.replicate)).map(({ values }) => values);
}

/** The outer one of t over replicates and Wilson's interval at the items of one. */
function accuracyEstimate(points: readonly Picked[], split: Split): Estimate | null {
  const each = points.map(({ record }) => accuracyOf(splitSets(record, 'target', split), bootstrapSeed));
  const estimated = numbersOf(
    each.map(one => one?.mean ?? null),
    levelsIn(points),
  );
  if (estimated === null) return null;
  const widths = each.flatMap(one => (one === null ? [] : [one.interval]));
  const ofItems = {
    low: mean(widths.map(({ low }) => low)),
    high: mean(widths.map(({ high }) => high)),
  };
  const whole = estimated.interval === null ? ofItems : outer(ofItems, estimated.interval);
  return { ...estimated, interval: within(whole, 0, 1) };
}

/** The retention sets of a difference, each by itself. */
export function setEstimates(
  pairs: readonly (readonly [Picked, Picked])[],
): { readonly name: string; readonly estimate: Found }[] {
  const names =
    pairs[0]?.[0].record.sets.filter(({ role }) => role === 'retention').map(({ name }) => name) ?? [];
  return names.flatMap(name => {
    const only = (picked: Picked) =>
      splitSets(picked.record, 'retention', 'all').filter(set => set.name === name);
    const found = changeEstimate(
      pairs.map(([of, against]) => flippedSets(only(against), only(of))),
      levelsIn(pairs.map(([of]) => of)),
    );
    const isDoubtful = pairs
      .flat()
      .some(({ outcome, record }) => doubtfulSets(outcome, [record]).includes(name));
    return found === null ? [] : [{ name, estimate: { ...found, isDoubtful } }];
  });
}
