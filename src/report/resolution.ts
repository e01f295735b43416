/** What the retention sets of a run can show, as a record and as lines for a person. Pure. */

import { randomAt } from '../data/random.ts';
import {
  drawBinomial,
  type Flipped,
  mean,
  pairedScoreInterval,
  pairedScoreIntervalOfMean,
} from '../metrics/statistics.ts';
import { points } from './changes.ts';
import { counted } from './format.ts';
/** Losses are shares; null where even the loss of everything would not show. */
export type Resolution = {
  /** `retention.margin`: the largest loss that still counts as kept. */
  readonly margin: number;
  readonly sets: readonly {
    readonly name: string;
    readonly items: number;
    readonly smallestLoss: number | null;
  }[];
  /** Over all sets, each counting the same; null without sets. */
  readonly overall: { readonly items: number; readonly smallestLoss: number | null } | null;
  /** Items of one set that could show a loss as small as the margin, and items that, none changed, exclude one; null for a margin of 0. */
  readonly itemsForMargin: { readonly toShow: number; readonly toKeep: number } | null;
};

/** The smallest losses that sets of these sizes can show, see `smallestLoss`. */
export function resolutionOf(
  sets: readonly { readonly name: string; readonly items: number }[],
  margin: number,
): Resolution {
  const sizes = sets.map(({ items }) => items);
  return {
    margin,
    sets: sets.map(({ name, items }) => ({ name, items, smallestLoss: smallestLoss([items]) })),
    overall:
      sizes.length === 0
        ? null
        : { items: sizes.reduce((sum, size) => sum + size, 0), smallestLoss: smallestLoss(sizes) },
    itemsForMargin: margin === 0 ? null : { toShow: itemsToShow(margin), toKeep: itemsToKeep(margin) },
  };
}

/** Lines of `tms plan`. */
export function describeResolution(resolution: Resolution): string[] {
  const { sets, overall } = resolution;
  if (overall === null) return ['retention not measured: there are no retention.sets'];
  const lines = [
    ...sets.map(set => `${set.name}: ${sizeText(set)}`),
    ...(sets.length === 1 ? [] : [`over all ${sets.length} sets: ${sizeText(overall)}`]),
    ...marginLines(resolution),
    '(95 % interval below 0 in 8 of 10 evaluations, if every set loses the same share and no item is gained; else more)',
  ];
  return lines.map((line, i) => `${i === 0 ? 'retention ' : '          '}${line}`);
}

function sizeText({ items, smallestLoss: loss }: { items: number; smallestLoss: number | null }): string {
  const some = counted(items, 'item');
  return loss === null
    ? `${some} can show no loss`
    : `${some} can show a loss of ${points(loss)} points or more`;
}

/** A note where the margin is smaller than what the sets can show. */
function marginLines({ margin, overall, itemsForMargin }: Resolution): string[] {
  const loss = overall?.smallestLoss ?? null;
  if (itemsForMargin === null || (loss !== null && loss <= margin)) return [];
  const { toShow, toKeep } = itemsForMargin;
  return [
    `note: a margin of ${points(margin)} points (retention.margin) needs about ${counted(toShow, 'item')}; fewer than ${toKeep.toLocaleString('en')} cannot be called kept even if none changes`,
  ];
}

// What retention sets of some sizes could show, before anything is measured. Pure.

/** A loss counts as shown when the 95 % interval lies below 0 in at least this share of evaluations. */
const power = 0.8;

/**
 * The smallest loss, as a share of all items, that sets of these sizes show at 80 % power, if every set loses the same share and no
 * item is gained; gains only make it larger. Null where even the loss of everything would not show.
 */
export function smallestLoss(sizes: readonly number[]): number | null {
  const powerAt = sizes.length === 1 ? powerInOneSet(sizes[0] ?? 0) : powerOverSets(sizes);
  if (powerAt(1) < power) return null;
  let [missed, shown] = [0, 1];
  while (shown - missed > 1e-5) {
    const middle = (missed + shown) / 2;
    if (powerAt(middle) < power) missed = middle;
    else shown = middle;
  }
  return shown;
}

/** Items of one set that show a loss as small as this, above 0. */
export function itemsToShow(loss: number): number {
  return leastSize(items => powerInOneSet(items)(loss) >= power);
}

/** Items of one set that, with none changed, exclude a loss as large as the margin, above 0. */
export function itemsToKeep(margin: number): number {
  return leastSize(items => pairedScoreInterval({ gained: 0, lost: 0, items }).low > -margin);
}

/**
 * Whether the interval of a change without gains lies below 0, as `changeOf` has it: the score interval does, and of bootstrap
 * samples fewer than 2.5 % draw no lost item at all.
 */
export function showsLoss(sets: readonly Flipped[]): boolean {
  if (pairedScoreIntervalOfMean(sets).high >= 0) return false;
  const drawsNone = sets.reduce((chance, { lost, items }) => chance * (1 - lost / items) ** items, 1);
  return sets.length === 1 || drawsNone < 0.025;
}

function powerInOneSet(items: number): (loss: number) => number {
  let least = 0;
  while (least <= items && !showsLoss([{ gained: 0, lost: least, items }])) least += 1;
  return loss => (least > items ? 0 : 1 - chanceOfFewer(least, items, loss));
}

function chanceOfFewer(least: number, items: number, loss: number): number {
  if (loss === 1) return items < least ? 1 : 0;
  let term = (1 - loss) ** items;
  let sum = 0;
  for (let lost = 0; lost < least; lost += 1) {
    sum += term;
    term *= ((items - lost) / (lost + 1)) * (loss / (1 - loss));
  }
  return sum;
}

const trials = 1000;

/** By simulation; every loss is tried with the same random numbers. */
function powerOverSets(sizes: readonly number[]): (loss: number) => number {
  return loss => {
    const random = randomAt(1, 'resolution');
    const isShown = () =>
      showsLoss(sizes.map(items => ({ gained: 0, lost: drawBinomial(items, loss, random), items })));
    return mean(Array.from({ length: trials }, () => Number(isShown())));
  };
}

function leastSize(isEnough: (items: number) => boolean): number {
  let enough = 1;
  while (!isEnough(enough)) enough *= 2;
  let missing = Math.floor(enough / 2);
  while (enough - missing > 1) {
    const middle = Math.floor((missing + enough) / 2);
    if (isEnough(middle)) enough = middle;
    else missing = middle;
  }
  return enough;
}
