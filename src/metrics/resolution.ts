/** What retention sets of some sizes could show, before anything is measured. Pure. */
import { randomAt } from '../data/random.ts';
import { type Flipped, pairedScoreInterval, pairedScoreIntervalOfMean } from './score-interval.ts';
import { drawBinomial, mean } from './statistics.ts';

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
