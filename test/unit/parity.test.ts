/** How far two engines differ, by hand. */
import { expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { checkParity } from '../../src/runner/check-parity.ts';
import { describeParity, parityOf, together } from '../../src/training/parity.ts';
import { Worker } from '../../src/worker/worker.ts';
import { ToyChannel } from '../support/toy-worker.ts';

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

it('of a model: the same engine does not differ, other weights do, in sampled and in greedy tokens', async () => {
  const config = parseConfig(
    'model_name_or_path: "toy:1"\ndataset_name: d.jsonl\noutput_dir: o\n',
    'run.yaml',
    [],
  );
  const [trainer, sampler] = [new Worker(new ToyChannel()), new Worker(new ToyChannel())];
  const same = await checkParity(config, { trainer, sampler });
  expect(same.parity).toMatchObject({ meanDifference: 0, maxDifference: 0, shareDiffering: 0 });
  expect(same.greedy.differing).toBe(0);
  expect(same.tolerance).toBe(1e-3);
  const stale = new Worker(new ToyChannel());
  const load = stale.load.bind(stale);
  stale.load = options => load({ ...options, model: 'toy:2' });
  const other = await checkParity(config, { trainer, sampler: stale });
  expect(other.parity.tokens).toBeGreaterThan(50);
  expect(other.parity.meanDifference).toBeGreaterThan(0.1);
  expect(other.parity.shareDiffering).toBeGreaterThan(0.1);
  expect(other.greedy.differing).toBeGreaterThan(0);
});
