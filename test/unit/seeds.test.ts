import { describe, expect, it } from 'vitest';
import { redrawIndex, samplingSeeds } from '../../src/plan/sampling-plan.ts';

describe('samplingSeeds', () => {
  it('are 32-bit and differ with run seed, step, prompt and sample', () => {
    const seedOf = samplingSeeds(42);
    const seeds = [0, 1, 2].flatMap(step =>
      [
        [0, 0],
        [0, 1],
        [1, 0],
      ].flatMap(([high = 0, low = 0]) => [0, 1, 2].map(sample => seedOf(step, [high, low], sample))),
    );
    seeds.push(samplingSeeds(43)(0, [0, 0], 0));
    expect(new Set(seeds).size).toBe(28);
    expect(seeds.every(seed => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
  });

  it('stay what they are: stored answers depend on them', () => {
    expect(samplingSeeds(42)(91, [0x01234567, 0x89abcdef], 0)).toMatchInlineSnapshot(`3982753270`);
  });
});

describe('redrawIndex', () => {
  it('never meets another sample: attempts 0–3 at S = 3 are twelve indices', () => {
    const indices = [0, 1, 2, 3].flatMap(attempt => [0, 1, 2].map(sample => redrawIndex(sample, attempt, 3)));
    expect(indices).toEqual([...Array(12).keys()]);
  });
});
