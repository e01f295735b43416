/**
 * How often the 95 % interval of a change covers the true one, for the chances of a gain and a loss of docs/statistics.md.
 * One set: by adding up all outcomes. Several: by simulation. `npx tsx bench/interval-coverage.ts` prints the table.
 */
import { describe, expect, test } from 'vitest';
import { accuracyOf, changeOf } from '../../src/metrics/retention.ts';
import {
  type Flipped,
  type Interval,
  pairedScoreIntervalOfMean,
  wilsonIntervalOfMean,
} from '../../src/metrics/statistics.ts';
import { splitMix } from '../support/split-mix.ts';

type Chances = { readonly items: number; readonly gain: number; readonly loss: number };

const sets = (count: number, items: number, gain: number, loss: number): Chances[] =>
  Array.from({ length: count }, () => ({ items, gain, loss }));
const uneven = (gain: number, loss: number): Chances[] =>
  [20, 40, 80, 400].map(items => ({ items, gain, loss }));
const smallestLoses = (gain: number, loss: number): Chances[] =>
  [20, 40, 80, 400].map(items => ({ items, gain, loss: items === 20 ? 0.2 : loss }));

describe('the interval of a change in one set covers it in at least 93 of 100 evaluations', () => {
  test.each([
    [64, 0, 0.01],
    [64, 0.005, 0.02],
    [64, 0, 0.03],
    [200, 0.005, 0.01],
    [200, 0.01, 0.03],
    [40, 0.03, 0.15],
    [1, 0.1, 0.3],
    [3, 0, 0.5],
    [12, 0.2, 0.2],
  ])('%i items, chance of a gain %d, of a loss %d', (items, gain, loss) => {
    expect(exactCoverage({ items, gain, loss })).toBeGreaterThanOrEqual(0.93);
  });
});

describe('the interval of a mean over sets covers it in at least 93 of 100 evaluations', () => {
  test.each([
    ['3 × 40, losses of .01', sets(3, 40, 0, 0.01)],
    ['8 × 40, losses of .01', sets(8, 40, 0, 0.01)],
    ['8 × 40, gains of .01, losses of .03', sets(8, 40, 0.01, 0.03)],
    ['8 × 40, gains of .03, losses of .15', sets(8, 40, 0.03, 0.15)],
    ['20, 40, 80 and 400, gains of .01, losses of .03', uneven(0.01, 0.03)],
  ])('%s', (_, chances) => {
    expect(simulatedCoverage(chances)).toBeGreaterThanOrEqual(0.93);
  });

  test.each([
    ['others gain .01 and lose .01', smallestLoses(0.01, 0.01)],
    ['others gain .01 and lose .03', smallestLoses(0.01, 0.03)],
  ])('or 91.5 where the smallest of 20, 40, 80 and 400 loses .2, %s', (_, chances) => {
    expect(simulatedCoverage(chances, 2 * trials)).toBeGreaterThanOrEqual(0.915);
  });

  test('or 91.5 where nothing happens but in the smallest, adding up all outcomes', () => {
    let [chance, covered] = [0.8 ** 20, 0];
    for (let lost = 0; lost <= 20; lost += 1) {
      const found = [20, 40, 80, 400].map(items => ({ gained: 0, lost: items === 20 ? lost : 0, items }));
      if (contains(changeOf(found, 1).interval, -0.05)) covered += chance;
      chance *= (((20 - lost) / (lost + 1)) * 0.2) / 0.8;
    }
    expect(covered).toBeGreaterThanOrEqual(0.915);
  });

  test.each([
    ['3 × 40, .99 right', 3, 40, 0.99],
    ['8 × 20, .95 right', 8, 20, 0.95],
    ['4 × 30, .5 right', 4, 30, 0.5],
  ])('so does that of accuracy: %s', (_, count, items, right) => {
    expect(accuracyCoverage(count, items, right)).toBeGreaterThanOrEqual(0.93);
  });
});

function exactCoverage({ items, gain, loss }: Chances): number {
  const logFactorial = [0];
  for (let i = 1; i <= items; i += 1) logFactorial.push((logFactorial[i - 1] ?? 0) + Math.log(i));
  const log = (count: number, chance: number) => (count === 0 ? 0 : count * Math.log(chance));
  let covered = 0;
  for (let gained = 0; gained <= items; gained += 1) {
    for (let lost = 0; gained + lost <= items; lost += 1) {
      const rest = items - gained - lost;
      const ways = [gained, lost, rest].reduce(
        (sum, count) => sum - (logFactorial[count] ?? 0),
        logFactorial[items] ?? 0,
      );
      const chance = Math.exp(ways + log(gained, gain) + log(lost, loss) + log(rest, 1 - gain - loss));
      if (chance < 1e-12) continue;
      if (contains(changeOf([{ gained, lost, items }], 1).interval, gain - loss)) covered += chance;
    }
  }
  return covered;
}

const trials = 1000;

/** The interval is the outer one, so where the score interval alone covers nothing more need be computed. */
function simulatedCoverage(chances: readonly Chances[], times = trials): number {
  const random = splitMix(20261126);
  const truth = chances.reduce((sum, { gain, loss }) => sum + gain - loss, 0) / chances.length;
  let covered = 0;
  for (let trial = 0; trial < times; trial += 1) {
    const found = chances.map(one => draw(one, random));
    const isCovered =
      contains(pairedScoreIntervalOfMean(found), truth) || contains(changeOf(found, trial).interval, truth);
    covered += Number(isCovered);
  }
  return covered / times;
}

function draw({ items, gain, loss }: Chances, random: () => number): Flipped {
  let [gained, lost] = [0, 0];
  for (let i = 0; i < items; i += 1) {
    const u = random() / 2 ** 32;
    if (u < gain) gained += 1;
    else if (u < gain + loss) lost += 1;
  }
  return { gained, lost, items };
}

function accuracyCoverage(count: number, items: number, right: number): number {
  const random = splitMix(7);
  let covered = 0;
  for (let trial = 0; trial < trials; trial += 1) {
    const found = Array.from({ length: count }, (_, i) => ({
      name: `set ${i}`,
      items: Array.from({ length: items }, (__, j) => ({
        id: String(j),
        isCorrect: random() / 2 ** 32 < right,
      })),
    }));
    const counts = found.map(set => ({ right: set.items.filter(item => item.isCorrect).length, items }));
    const isCovered =
      contains(wilsonIntervalOfMean(counts), right) ||
      contains(accuracyOf(found, trial)?.interval ?? { low: 1, high: 0 }, right);
    covered += Number(isCovered);
  }
  return covered / trials;
}

function contains({ low, high }: Interval, value: number): boolean {
  return low <= value && value <= high;
}
