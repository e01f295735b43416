import { describe, expect, test } from 'vitest';
import { randomAt } from '../../src/data/random.ts';
import { changeEstimate, estimateOf } from '../../src/metrics/replicates.ts';
import { drawBinomial } from '../../src/metrics/statistics.ts';
import {
  correlationInterval,
  holm,
  scoreTest,
  tInterval,
  tQuantile,
  tTest,
} from '../../src/metrics/t-test.ts';

describe("Student's t", () => {
  test.each([
    // Published two-sided 5 % points.
    [1, 12.706],
    [2, 4.303],
    [3, 3.182],
    [4, 2.776],
    [5, 2.571],
    [9, 2.262],
    [10, 2.228],
    [30, 2.042],
    [120, 1.98],
  ])('of %d degrees of freedom is exceeded by %d in a twentieth', (freedom, value) => {
    expect(tQuantile(freedom)).toBeCloseTo(value, 3);
  });

  test('of Student’s own sleep data: t = 4.0621 at 9, p = .00283, interval 0.70 to 2.46', () => {
    const sleep = [1.2, 2.4, 1.3, 1.3, 0, 1, 1.8, 0.8, 4.6, 1.4];
    expect(tTest(sleep)).toBeCloseTo(0.002833, 5);
    const { low, high } = tInterval(sleep) ?? { low: 0, high: 0 };
    expect([low, high].map(value => value.toFixed(3))).toEqual(['0.700', '2.460']);
  });

  test('says nothing of one value', () => {
    expect([tInterval([1]), tTest([1])]).toEqual([null, null]);
  });
});

test('the score test of 5 gained and 15 lost is McNemar without correction: χ² = 5, p = .02535', () => {
  expect(scoreTest({ gained: 5, lost: 15 })).toBeCloseTo(0.0253473, 6);
  expect(scoreTest({ gained: 0, lost: 0 })).toBe(1);
});

test('Holm of .01, .04, .03, .005 is .03, .06, .06, .02', () => {
  expect(holm([0.01, 0.04, 0.03, 0.005]).map(p => Number(p.toFixed(6)))).toEqual([0.03, 0.06, 0.06, 0.02]);
});

test('Fisher’s interval of r = .5 in 28 points is [.156, .736]', () => {
  const { low, high } = correlationInterval(0.5, 28) ?? { low: 0, high: 0 };
  expect(low).toBeCloseTo(0.156, 3);
  expect(high).toBeCloseTo(0.736, 3);
});

describe('a change over replicates', () => {
  test('of one replicate has the interval of its items: 8 of 12 lost is [−.862, −.263]', () => {
    const found = changeEstimate([[{ gained: 0, lost: 8, items: 12 }]]);
    expect(found?.mean).toBeCloseTo(-8 / 12, 12);
    expect(found?.interval?.low).toBeCloseTo(-0.862, 3);
    expect(found?.interval?.high).toBeCloseTo(-0.263, 3);
  });

  test('keeps the width of the items where replicates agree, and that of t where they do not', () => {
    const alike = changeEstimate([1, 1, 1].map(() => [{ gained: 0, lost: 8, items: 12 }]));
    expect(alike?.interval?.high).toBeCloseTo(-0.263, 3);
    // −.1, −.2, −.6 of 400 items: mean −.3, t .975 of 2 degrees 4.303 × .1528
    const apart = changeEstimate([40, 80, 240].map(lost => [{ gained: 0, lost, items: 400 }]));
    expect(apart?.interval?.low).toBeCloseTo(-0.3 - 4.303 * 0.15275, 3);
    expect(apart?.interval?.high).toBeCloseTo(-0.3 + 4.303 * 0.15275, 3);
    expect(apart?.values).toEqual([-0.1, -0.2, -0.6]);
  });

  test('covers the true mean in at least 93 of 100 studies of three seeds that differ', () => {
    const random = randomAt(5, 'studies');
    const uniform = () => random() / 2 ** 32;
    const studies = 400;
    let covered = 0;
    for (let i = 0; i < studies; i++) {
      // Each seed loses .05 to .25 of the items in truth; each item by itself. The mean is .15.
      const replicates = [1, 2, 3].map(() => {
        const share = 0.05 + 0.2 * uniform();
        return [{ gained: 0, lost: drawBinomial(60, share, random), items: 60 }];
      });
      const { low, high } = changeEstimate(replicates)?.interval ?? { low: 1, high: 1 };
      if (low <= -0.15 && -0.15 <= high) covered += 1;
    }
    expect(covered / studies).toBeGreaterThan(0.93);
  });

  test('of two bases × two seeds has one degree of freedom, not three: .4 ± 12.706 · .1', () => {
    const levels = [
      ['a', 'a', 'b', 'b'],
      ['0', '1', '0', '1'],
    ];
    // means of bases .3 and .5, of seeds .4 and .4; p of t = 4 at 1 degree: 1 − 2 atan(4)/π
    const found = estimateOf([0.28, 0.32, 0.52, 0.48], levels);
    expect(found?.mean).toBeCloseTo(0.4, 12);
    expect(found?.interval?.low).toBeCloseTo(0.4 - 1.2706, 4);
    expect(found?.interval?.high).toBeCloseTo(0.4 + 1.2706, 4);
    expect(found?.p).toBeCloseTo(1 - (2 / Math.PI) * Math.atan(4), 6);
    // The order of the keys is nothing to it.
    const swapped = estimateOf([0.28, 0.32, 0.52, 0.48], levels.toReversed());
    expect(swapped?.interval).toEqual(found?.interval);
    const lost = [28, 32, 52, 48].map(count => [{ gained: count * 10, lost: 0, items: 1000 }]);
    expect(changeEstimate(lost, levels)).toMatchObject({
      p: expect.closeTo(1 - (2 / Math.PI) * Math.atan(4), 6),
      interval: { low: expect.closeTo(-0.8706, 4), high: 1 },
    });
  });

  test('covers the true mean in at least 93 of 100 studies of three bases × three seeds', () => {
    const random = randomAt(9, 'crossed');
    // The sum of twelve uniform numbers, less 6, is nearly normal with variance 1.
    const normal = () =>
      Array.from({ length: 12 }, () => random() / 2 ** 32).reduce((sum, one) => sum + one, -6);
    const studies = 800;
    const places = [0, 1, 2].flatMap(base => [0, 1, 2].map(seed => [base, seed] as const));
    const levels = [0, 1].map(key => places.map(place => String(place[key as 0 | 1])));
    const covered = { crossed: 0, independent: 0 };
    for (let i = 0; i < studies; i++) {
      const bases = [normal(), normal(), normal()];
      const values = places.map(([base]) => (bases[base] ?? 0) + 0.3 * normal());
      const isCovered = (found: ReturnType<typeof estimateOf>) =>
        Number((found?.interval?.low ?? 1) <= 0 && 0 <= (found?.interval?.high ?? -1));
      covered.crossed += isCovered(estimateOf(values, levels));
      covered.independent += isCovered(estimateOf(values));
    }
    expect(covered.crossed / studies).toBeGreaterThan(0.93);
    expect(covered.crossed / studies).toBeLessThan(0.98);
    expect(covered.independent / studies).toBeLessThan(0.75); // what this is for
  });

  test('of nothing is nothing', () => {
    expect([changeEstimate([]), estimateOf([])]).toEqual([null, null]);
  });
});
