import { describe, expect, test } from 'vitest';
import { below, randomAt } from '../../src/data/random.ts';
import { driftCorrelation, pldDrift } from '../../src/metrics/pld-drift.ts';
import {
  accuracyChange,
  accuracyOf,
  changeOf,
  flipsBetween,
  isSmallLoss,
  type ScoredSet,
  type Verdict,
  verdictOf,
} from '../../src/metrics/retention.ts';
import {
  bootstrapInterval,
  mean,
  meanOfMeans,
  pearson,
  spearman,
  wilsonInterval,
} from '../../src/metrics/statistics.ts';
import { exclusionOf } from '../../src/report/changes.ts';

/** `set('a', 'RW')`: item 0 right, item 1 wrong. */
function set(name: string, results: string): ScoredSet {
  return { name, items: [...results].map((letter, i) => ({ id: `${name}${i}`, isCorrect: letter === 'R' })) };
}

describe('Wilson interval', () => {
  test('has the published values for 8 of 10, 0 of 10 and 10 of 10', () => {
    expect(wilsonInterval(8, 10).low).toBeCloseTo(0.4902, 4);
    expect(wilsonInterval(8, 10).high).toBeCloseTo(0.9433, 4);
    expect(wilsonInterval(0, 10).low).toBe(0);
    expect(wilsonInterval(0, 10).high).toBeCloseTo(0.2775, 4);
    expect(wilsonInterval(10, 10).low).toBeCloseTo(0.7225, 4);
    expect(wilsonInterval(10, 10).high).toBeCloseTo(1, 12);
  });
});

describe('bootstrap interval', () => {
  test('is a point where all items agree', () => {
    expect(bootstrapInterval([[-1, -1, -1], [-1]], 0)).toEqual({ low: -1, high: -1 });
  });

  test('is the same for the same seed and another for another seed', () => {
    const sets = [Array.from({ length: 50 }, (_, i) => Math.sin(i))];
    expect(bootstrapInterval(sets, 3)).toEqual(bootstrapInterval(sets, 3));
    expect(bootstrapInterval(sets, 3)).not.toEqual(bootstrapInterval(sets, 4));
  });

  test('of a share of 400 items is ± 1.96 standard errors', () => {
    const items = Array.from({ length: 400 }, (_, i) => (i < 100 ? -1 : 0));
    const { low, high } = bootstrapInterval([items], 1);
    const standardError = Math.sqrt((0.25 * 0.75) / 400);
    expect(Math.abs(low - (-0.25 - 1.96 * standardError))).toBeLessThan(0.005);
    expect(Math.abs(high - (-0.25 + 1.96 * standardError))).toBeLessThan(0.005);
  });

  test('of more items than one inversion takes is still right', () => {
    const items = Array.from({ length: 5000 }, (_, i) => i % 2);
    const { low, high } = bootstrapInterval([items], 1);
    expect(Math.abs(high - low - 2 * 1.96 * Math.sqrt(0.25 / 5000))).toBeLessThan(0.002);
    expect(Math.abs((low + high) / 2 - 0.5)).toBeLessThan(0.001);
  });

  test('agrees with drawing items one by one', () => {
    const sets = [
      [-1, -1, 0, 0, 0, 1, 0.5, 0],
      [0, 0, -1],
    ];
    const random = randomAt(9, 'reference');
    const means = Array.from({ length: 20_000 }, () =>
      meanOfMeans(sets.map(items => items.map(() => items[below(random, items.length)] ?? 0))),
    ).sort((a, b) => a - b);
    const { low, high } = bootstrapInterval(sets, 1);
    expect(Math.abs(low - (means[500] ?? 0))).toBeLessThan(0.04);
    expect(Math.abs(high - (means[19_500] ?? 0))).toBeLessThan(0.04);
  });
});

describe('correlations', () => {
  test('have hand-computed values', () => {
    expect(pearson([1, 2, 3], [1, 2, 4])).toBeCloseTo(3 / Math.sqrt(2 * (42 / 9)), 12);
    expect(spearman([1, 2, 3], [1, 2, 400])).toBeCloseTo(1, 12);
    // ranks 1.5 1.5 3 against 1 2 3
    expect(spearman([5, 5, 7], [1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(1.5 * 2), 12);
  });

  test('are undefined for two points and for a constant', () => {
    expect(pearson([1, 2], [1, 2])).toBeNull();
    expect(pearson([1, 2, 3], [4, 4, 4])).toBeNull();
    // (0.1 + 0.1 + 0.1) / 3 is not 0.1
    expect(pearson([1, 2, 3], [0.1, 0.1, 0.1])).toBeNull();
    expect(spearman([0.1, 0.1, 0.1], [1, 2, 3])).toBeNull();
  });
});

describe('retention', () => {
  const before = [set('a', 'RRRR'), set('b', 'RW')];
  const after = [set('a', 'RWWW'), set('b', 'WR')];

  test('changes by the mean over sets, not over items', () => {
    const change = accuracyChange(before, after, 1);
    expect(change?.mean).toBe((-0.75 + 0) / 2);
    expect([change?.items, change?.sets]).toEqual([6, 2]);
    expect(change?.interval.low).toBeLessThanOrEqual(-0.375);
    expect(change?.interval.high).toBeGreaterThanOrEqual(-0.375);
  });

  test('of a model against itself does not change', () => {
    const { mean: change, interval, gained, lost } = accuracyChange(before, before, 1) ?? {};
    expect([change, gained, lost]).toEqual([0, 0, 0]);
    // sets of 4 and 2 vary as one of 4 / (1/4 + 1/2) = 16/3 items would: z² / (16/3 + z²) = 0.4187
    expect(interval?.low).toBeCloseTo(-0.4187, 4);
    expect(interval?.high).toBeCloseTo(0.4187, 4);
  });

  test('flips are the ids of items that differ, by direction', () => {
    expect(flipsBetween(before, after)).toEqual([
      { name: 'a', items: 4, rightToWrong: ['a1', 'a2', 'a3'], wrongToRight: [] },
      { name: 'b', items: 2, rightToWrong: ['b0'], wrongToRight: ['b1'] },
    ]);
  });

  test('is refused for other items', () => {
    expect(() => accuracyChange([set('a', 'RR')], [set('a', 'RRR')], 1)).toThrow('set a');
    expect(() => accuracyChange([set('b', 'RR')], [set('a', 'RR')], 1)).toThrow('set a');
  });

  test('accuracy is the mean over sets; one set has Wilson’s interval', () => {
    expect(accuracyOf(after, 1)?.mean).toBe((0.25 + 0.5) / 2);
    expect(accuracyOf([set('a', 'RRRRRRRRWW')], 1)?.interval).toEqual(wilsonInterval(8, 10));
    expect(accuracyOf([], 1)).toBeNull();
  });
});

describe('verdict on retention', () => {
  const change = (low: number, high: number) => ({
    mean: (low + high) / 2,
    interval: { low, high },
    items: 10,
    sets: 1,
    gained: 1,
    lost: 1,
  });

  test.each<[string, number, number, Verdict, boolean]>([
    ['around 0, inside the margin', -0.01, 0.01, 'kept', false],
    ['around 0, down to the margin', -0.02, 0.01, 'inconclusive', false],
    ['around 0, beyond the margin', -0.05, 0.05, 'inconclusive', false],
    ['above 0', 0.01, 0.05, 'kept', false],
    ['below 0, up to 0', -0.05, 0, 'inconclusive', false],
    ['below 0, beyond the margin', -0.05, -0.001, 'lost', false],
    ['below 0, down to the margin', -0.02, -0.001, 'lost', false],
    ['below the margin', -0.5, -0.4, 'lost', false],
    ['between the margin and 0', -0.015, -0.005, 'kept', true],
  ])('of an interval %s', (_, low, high, verdict, isSmall) => {
    expect(verdictOf(change(low, high), 0.02)).toBe(verdict);
    expect(isSmallLoss(change(low, high), 0.02)).toBe(isSmall);
  });

  test('is not measured without a change, and a margin of 0 keeps only what is gained', () => {
    expect(verdictOf(null, 0.02)).toBe('not measured');
    expect(isSmallLoss(null, 0.02)).toBe(false);
    expect(verdictOf(change(0, 0.1), 0)).toBe('inconclusive');
    expect(verdictOf(change(0.01, 0.1), 0)).toBe('kept');
  });
});

describe('what a set whose items agree excludes', () => {
  test.each([
    [0, 0, 64, '0 of 64 items changed: a change beyond ±5.7 points is excluded'],
    [0, 0, 1, '0 of 1 item changed: a change beyond ±79 points is excluded'],
    [0, 1, 1, 'all of 1 item became wrong: yet a gain of up to 59 points is not excluded'],
    [0, 3, 3, 'all of 3 items became wrong: yet a gain of up to 12 points is not excluded'],
    [3, 0, 3, 'all of 3 items became right: yet a loss of up to 12 points is not excluded'],
    [0, 100, 100, 'all of 100 items became wrong: a loss of less than 93 points is excluded'],
    [1, 0, 64, null],
  ])('%i gained, %i lost of %i', (gained, lost, items, text) => {
    expect(exclusionOf(changeOf([{ gained, lost, items }], 0))).toBe(text);
  });
});

describe('drift', () => {
  test('is PLD minus its lowest point so far', () => {
    const drift = pldDrift([1.88, 0.175, 0.172, 0.219, 0.288]);
    [0, 0, 0, 0.047, 0.116].forEach((expected, i) => {
      expect(drift[i]).toBeCloseTo(expected, 12);
    });
    expect(pldDrift([])).toEqual([]);
  });

  test('is compared with forgetting beside the mere step number', () => {
    const points = [
      { step: 1, drift: 0, forgetting: 0.1 },
      { step: 2, drift: 1, forgetting: 0.2 },
      { step: 3, drift: 3, forgetting: 0.3 },
    ];
    const correlation = driftCorrelation(points);
    expect(correlation.count).toBe(3);
    expect(correlation.pearson).toBeCloseTo(3 / Math.sqrt(2 * (42 / 9)), 12);
    expect(correlation.spearman).toBeCloseTo(1, 12);
    expect(correlation.stepPearson).toBeCloseTo(1, 12);
  });
});

test('the mean of nothing is not a number', () => {
  expect(mean([])).toBeNaN();
});
