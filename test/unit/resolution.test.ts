import { describe, expect, test } from 'vitest';
import { changeOf } from '../../src/metrics/retention.ts';
import { pairedScoreInterval } from '../../src/metrics/statistics.ts';
import {
  describeResolution,
  itemsToKeep,
  itemsToShow,
  resolutionOf,
  showsLoss,
  smallestLoss,
} from '../../src/report/resolution.ts';
import { splitMix } from '../support/split-mix.ts';

/** Chance of at most three lost of `items`, term by term. */
const atMostThree = (items: number, loss: number) =>
  [0, 1, 2, 3].reduce((sum, k) => {
    const ways = [1, items, (items * (items - 1)) / 2, (items * (items - 1) * (items - 2)) / 6][k] ?? 0;
    return sum + ways * loss ** k * (1 - loss) ** (items - k);
  }, 0);

const draw = (random: () => number, items: number, loss: number) =>
  Array.from({ length: items }, () => random() / 2 ** 32 < loss).filter(Boolean).length;

describe('the smallest loss that sets can show', () => {
  // without gains the score test of no change is lost > z² = 3.84, so four lost items are needed
  test.each([12, 64, 400])('in one set of %i leaves a chance of .2 of fewer than four lost items', items => {
    const loss = smallestLoss([items]) ?? 0;
    expect(atMostThree(items, loss)).toBeCloseTo(0.2, 3);
    expect(pairedScoreInterval({ gained: 0, lost: 3, items }).high).toBeGreaterThanOrEqual(0);
    expect(pairedScoreInterval({ gained: 0, lost: 4, items }).high).toBeLessThan(0);
  });

  test('of too few items is none', () => {
    expect(smallestLoss([3])).toBeNull();
    expect(smallestLoss([1, 1, 1])).toBeNull();
    expect(smallestLoss([4]) ?? 0).toBeCloseTo(0.8 ** (1 / 4), 4);
  });

  test.each([[[12, 12, 12, 12, 12, 12, 12, 12]], [[20, 40, 80, 400]], [[5, 400]]])(
    'over sets of %j shows in eight of ten real evaluations',
    sizes => {
      const loss = smallestLoss(sizes) ?? 0;
      const random = splitMix(3);
      const trials = 400;
      const shown = Array.from({ length: trials }, (_, trial) => {
        const sets = sizes.map(items => ({ gained: 0, lost: draw(random, items, loss), items }));
        const isShown = changeOf(sets, trial).interval.high < 0;
        if (isShown !== showsLoss(sets)) expect(chanceOfNone(sets)).toBeCloseTo(0.025, 2);
        return Number(isShown);
      }).reduce((sum, one) => sum + one, 0);
      // 4 standard deviations of both simulations: √(.16/400 + .16/1000) = .0237
      expect(Math.abs(shown / trials - 0.8)).toBeLessThan(0.095);
    },
  );

  test('over sets is not shown by a few items of the smallest alone, as the bootstrap would often draw none of them', () => {
    // all 20 draws miss 3 of 20 with a chance of .85^20 = .039, and 4 of 20 with .8^20 = .012
    for (const lost of [2, 3, 4]) {
      const sets = [lost, 0, 0, 0].map((one, i) => ({
        gained: 0,
        lost: one,
        items: [20, 40, 80, 400][i] ?? 1,
      }));
      expect(showsLoss(sets)).toBe(lost === 4);
      expect(changeOf(sets, 1).interval.high < 0).toBe(lost === 4);
    }
  });

  const chanceOfNone = (sets: readonly { readonly lost: number; readonly items: number }[]) =>
    sets.reduce((chance, { lost, items }) => chance * (1 - lost / items) ** items, 1);
});

describe('how many items a margin needs', () => {
  test('to show a loss of that size: the first number with a chance of at most .2 of fewer than four lost', () => {
    const items = itemsToShow(0.02);
    expect(atMostThree(items, 0.02)).toBeLessThanOrEqual(0.2);
    expect(atMostThree(items - 1, 0.02)).toBeGreaterThan(0.2);
  });

  test('to be called kept with none changed: z²/(n + z²) < margin, so n > z²·(1 − margin)/margin = 188.2', () => {
    expect(itemsToKeep(0.02)).toBe(189);
    expect(itemsToKeep(0.5)).toBe(4);
  });
});

describe('the plan says', () => {
  test('what every set and all together can show, and what the margin would need', () => {
    const lines = describeResolution(
      resolutionOf(
        [
          { name: 'general', items: 64 },
          { name: 'tiny', items: 2 },
        ],
        0.02,
      ),
    );
    expect(lines.slice(0, 2)).toEqual([
      'retention general: 64 items can show a loss of 8.4 points or more',
      '          tiny: 2 items can show no loss',
    ]);
    expect(lines[2]).toMatch(/^ {10}over all 2 sets: 66 items can show a loss of \d+ points or more$/);
    expect(lines[3]).toBe(
      '          note: a margin of 2 points (retention.margin) needs about 275 items; fewer than 189 cannot be called kept even if none changes',
    );
    expect(lines[4]).toContain('if every set loses the same share and no item is gained');
  });

  test('nothing of a margin that the sets can show, or that is 0', () => {
    const one = [{ name: 'general', items: 300 }];
    for (const margin of [0.02, 0]) expect(describeResolution(resolutionOf(one, margin))).toHaveLength(2);
    expect(resolutionOf(one, 0).itemsForMargin).toBeNull();
  });

  test('that retention is not measured where there are no sets', () => {
    expect(describeResolution(resolutionOf([], 0.02))).toEqual([
      'retention not measured: there are no retention.sets',
    ]);
  });
});
