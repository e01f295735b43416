/** How far two engines differ, by hand. */
import { expect, it } from 'vitest';
import { describeParity, parityOf, together } from '../../src/training/parity.ts';

it('is over the tokens behind the first: mean, largest, and the share that would be drawn otherwise', () => {
  const ln2 = Math.log(2);
  // p_trainer/p_sampler: ½, 2 and 1. Of the first half would differ, of the others nothing.
  const parity = parityOf(
    [
      [0, -ln2, 0],
      [0, -1],
    ],
    [
      [9, 0, -ln2],
      [9, -1],
    ],
  );
  expect(parity.tokens).toBe(3);
  expect(parity.meanDifference).toBeCloseTo((2 * ln2) / 3, 12);
  expect(parity.maxDifference).toBeCloseTo(ln2, 12);
  expect(parity.shareDiffering).toBeCloseTo(0.5 / 3, 12);
});

it('begins where it is asked to, and adds up by tokens', () => {
  const one = parityOf([[0, -1, -2]], [[0, -5, -2.5]], [2]);
  expect(one).toMatchObject({ tokens: 1, meanDifference: 0.5, maxDifference: 0.5, shareDiffering: 0 });
  const both = together(one, parityOf([[0, -1, -1, -1]], [[0, -1, -1, -1]]));
  expect(both).toMatchObject({ tokens: 4, meanDifference: 0.125, maxDifference: 0.5 });
  expect(describeParity(both)).toBe(
    'log-probabilities of 4 tokens differ by 0.13 nats on average and 0.50 at most; about 0.0 % of sampled tokens would differ',
  );
});

it('is not a number where the sampler says less', () => {
  expect(parityOf([[0, -1]], [[0]]).meanDifference).toBeNaN();
});
