import { describe, expect, test } from 'vitest';
import { accuracyChange, accuracyOf, changeOf, type ScoredSet } from '../../src/metrics/retention.ts';
import {
  bootstrapInterval,
  type Flipped,
  type Interval,
  outer,
  pairedScoreInterval,
  pairedScoreIntervalOfMean,
  wilsonInterval,
  wilsonIntervalOfMean,
} from '../../src/metrics/statistics.ts';

function expectInterval({ low, high }: Interval, expected: readonly [number, number], digits: number): void {
  expect(low).toBeCloseTo(expected[0], digits);
  expect(high).toBeCloseTo(expected[1], digits);
}

const scored = (name: string, right: readonly boolean[]): ScoredSet => ({
  name,
  items: right.map((isCorrect, i) => ({ id: String(i), isCorrect })),
});

describe('score interval of a paired change', () => {
  test('has the published value of 1 gained and 7 lost of 21 (Fagerland, Lydersen, Laake, 2014)', () => {
    expectInterval(pairedScoreInterval({ gained: 1, lost: 7, items: 21 }), [-0.517, -0.026], 3);
  });

  test.each([1, 5, 40, 64, 1000])('excludes beyond z²/(n+z²) where none of %i items changed', items => {
    const bound = 3.841458820694124 / (items + 3.841458820694124);
    expectInterval(pairedScoreInterval({ gained: 0, lost: 0, items }), [-bound, bound], 9);
  });

  test('of one loss among 40 has more room to the right than the bootstrap shows', () => {
    const { low, high } = pairedScoreInterval({ gained: 0, lost: 1, items: 40 });
    expect(low).toBeCloseTo(-0.129, 3);
    expect(high).toBeCloseTo(0.065, 3);
  });

  test('of unanimous items ends at the bound and has a width that shrinks with their number', () => {
    const highs = [1, 3, 10, 100].map(items => {
      const { low, high } = pairedScoreInterval({ gained: 0, lost: items, items });
      expect(low).toBe(-1);
      return high;
    });
    expect(highs).toEqual([...highs].sort((a, b) => b - a));
    expect(highs[0]).toBeGreaterThan(0.5);
    expect(highs[3]).toBeLessThan(-0.92);
  });

  test.each<[number, number, number]>([
    [0, 1, 40],
    [0, 1, 1],
    [1, 0, 1],
    [0, 3, 3],
    [2, 5, 12],
    [3, 3, 9],
    [1, 7, 21],
    [5, 0, 64],
    [0.4, 1.7, 10.3],
    [2.5, 0, 7.2],
  ])('agrees with a search over all shares: %d gained, %d lost of %d', (gained, lost, items) => {
    expectInterval(
      pairedScoreInterval({ gained, lost, items }),
      intervalBySearch({ gained, lost, items }),
      2.6,
    );
  });

  test('is mirrored when gains and losses are swapped, and holds the estimate', () => {
    for (let items = 1; items <= 12; items += 1) {
      for (let gained = 0; gained <= items; gained += 1) {
        for (let lost = 0; gained + lost <= items; lost += 1) {
          const { low, high } = pairedScoreInterval({ gained, lost, items });
          const swapped = pairedScoreInterval({ gained: lost, lost: gained, items });
          expectInterval(swapped, [-high, -low], 9);
          const change = (gained - lost) / items;
          expect(low).toBeLessThanOrEqual(change);
          expect(high).toBeGreaterThanOrEqual(change);
          expect(high - low).toBeGreaterThan(0.3);
          expect(Math.min(low, -high)).toBeGreaterThanOrEqual(-1);
        }
      }
    }
  });
});

describe('over several sets', () => {
  // four sets: 16 / (1/20 + 1/40 + 1/80 + 1/400) = 16 / 0.09 = 177.78; shares .1, 0, .025, .0025: mean .031875
  const sets: Flipped[] = [
    { gained: 0, lost: 2, items: 20 },
    { gained: 1, lost: 0, items: 40 },
    { gained: 0, lost: 2, items: 80 },
    { gained: 4, lost: 1, items: 400 },
  ];

  test('the score interval is that of one set of the effective size with the mean shares', () => {
    const items = 16 / 0.09;
    const expected = pairedScoreInterval({
      gained: (items * (1 / 40 + 4 / 400)) / 4,
      lost: (items * (0.1 + 0.025 + 0.0025)) / 4,
      items,
    });
    expectInterval(pairedScoreIntervalOfMean(sets), [expected.low, expected.high], 12);
  });

  test('sets of one size are as many items as they have together', () => {
    const equal = Array.from({ length: 3 }, (_, i) => ({ gained: i, lost: 2, items: 40 }));
    const one = pairedScoreInterval({ gained: 3, lost: 6, items: 120 });
    expectInterval(pairedScoreIntervalOfMean(equal), [one.low, one.high], 12);
    const right = [10, 20, 30].map(count => ({ right: count, items: 40 }));
    const whole = wilsonInterval(60, 120);
    expectInterval(wilsonIntervalOfMean(right), [whole.low, whole.high], 12);
  });

  test('the interval of a change is the outer one of score and bootstrap', () => {
    const values = sets.map(({ gained, lost, items }) =>
      Array.from({ length: items }, (_, i) => (i < gained ? 1 : i < gained + lost ? -1 : 0)),
    );
    const { interval, mean, items, gained, lost } = changeOf(sets, 5);
    expect(interval).toEqual(outer(pairedScoreIntervalOfMean(sets), bootstrapInterval(values, 5)));
    expect(mean).toBeCloseTo((-0.1 + 1 / 40 - 0.025 + 3 / 400) / 4, 12);
    expect([items, gained, lost]).toEqual([540, 5, 5]);
  });

  test('the outer interval takes the farther end of each side', () => {
    expect(outer({ low: -2, high: 1 }, { low: -1, high: 3 })).toEqual({ low: -2, high: 3 });
  });

  test('a loss in one small set alone is given more room by the bootstrap than by the score interval', () => {
    const alone = [4, 0, 0, 0].map((lost, i) => ({ gained: 0, lost, items: [20, 40, 80, 400][i] ?? 1 }));
    expect(changeOf(alone, 1).interval.low).toBeLessThan(pairedScoreIntervalOfMean(alone).low);
  });
});

/** Case 21 and its kind: whatever the items agree on, few of them leave much open. */
describe('no interval is without width', () => {
  const all = (count: number, isRight: boolean) => Array.from({ length: count }, () => isRight);
  const repeated = (sets: number, right: readonly boolean[]) =>
    Array.from({ length: sets }, (_, i) => scored(`set ${i}`, right));

  test.each([
    ['one item, lost', all(1, true), all(1, false)],
    ['one item, kept', all(1, true), all(1, true)],
    ['three items, all lost', all(3, true), all(3, false)],
    ['three items, all gained', all(3, false), all(3, true)],
    ['five items, none changed', [true, true, false, true, true], [true, true, false, true, true]],
    ['forty items, none changed', all(40, true), all(40, true)],
  ])('%s, in one set and in five', (_, before, after) => {
    for (const count of [1, 5]) {
      const change = accuracyChange(repeated(count, before), repeated(count, after), 0);
      const accuracy = accuracyOf(repeated(count, after), 0);
      for (const one of [change, accuracy]) {
        const { low = 0, high = 0 } = one?.interval ?? {};
        expect(high - low).toBeGreaterThan(1.9 / (before.length * count + 3.9));
        expect(low).toBeLessThanOrEqual(one?.mean ?? Number.NaN);
        expect(high).toBeGreaterThanOrEqual(one?.mean ?? Number.NaN);
      }
    }
  });

  test('a change is counted by its direction', () => {
    const change = accuracyChange([scored('a', [true, true, false])], [scored('a', [false, true, true])], 0);
    expect(change).toMatchObject({ gained: 1, lost: 1, items: 3, mean: 0 });
  });

  test('accuracy that is 1 in every set leaves what Wilson leaves', () => {
    const { low = 0, high = 0 } = accuracyOf(repeated(3, all(40, true)), 0)?.interval ?? {};
    expect(low).toBeCloseTo(120 / (120 + 3.841458820694124), 9);
    expect(high).toBe(1);
  });
});

/**
 * The score test at every change d on a grid, with the likeliest shares found by search: among all (gain, loss) with gain − loss = d
 * the pair that maximises gained·ln gain + lost·ln loss + rest·ln(1 − gain − loss). Its variance of the mean decides.
 */
function intervalBySearch({ gained, lost, items }: Flipped): [number, number] {
  const rest = items - gained - lost;
  const term = (count: number, share: number) =>
    count === 0 ? 0 : share <= 0 ? Number.NEGATIVE_INFINITY : count * Math.log(share);
  const accepted: number[] = [];
  for (let step = -1000; step <= 1000; step += 1) {
    const change = step / 1000;
    const [least, most] = [Math.max(0, -change), (1 - change) / 2];
    const likelihood = (loss: number) =>
      term(gained, loss + change) + term(lost, loss) + term(rest, 1 - change - 2 * loss);
    const variance = (2 * mostLikely(likelihood, least, most) + change - change * change) / items;
    const distance = Math.abs((gained - lost) / items - change);
    if (distance < 1e-12 || distance ** 2 <= 3.841458820694124 * variance) accepted.push(change);
  }
  return [Math.min(...accepted), Math.max(...accepted)];
}

/** Where a concave function is largest, by thirds. */
function mostLikely(likelihood: (share: number) => number, least: number, most: number): number {
  let [low, high] = [least, most];
  for (let i = 0; i < 80; i += 1) {
    const third = (high - low) / 3;
    if (likelihood(low + third) < likelihood(high - third)) low += third;
    else high -= third;
  }
  return (low + high) / 2;
}
