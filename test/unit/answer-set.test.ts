import { describe, expect, it } from 'vitest';
import { type DrawOptions, drawer, fullAnswers, lazyAnswers } from '../../src/plan/draws.ts';
import { allVisits, visitCount } from '../../src/plan/training-plan.ts';

const order = { seed: 42, examples: 50, batchSize: 8 };
const steps = 12; // one epoch of 7 steps and 40 visits of the next
const promptIdOf = (example: number) => [1, example] as const;
const options = (more: Partial<DrawOptions> = {}): DrawOptions => ({
  seed: 42,
  alpha: 0.25,
  checkpoints: 3,
  samplesPerPrompt: 2,
  order: 'random',
  visits: visitCount(order, steps),
  ...more,
});

/** Keys `example/checkpoint/sample` of an answer set. */
function keysOf(set: ReturnType<typeof lazyAnswers>): string[] {
  return set.perCheckpoint.flatMap((_, checkpoint) =>
    [...set.at(checkpoint)].map(({ example, sample }) => `${example}/${checkpoint}/${sample}`),
  );
}

describe('lazyAnswers', () => {
  it.each(['random', 'early_to_late'] as const)('%s: exactly the distinct answers that visits read', kind => {
    const draw = drawer(options({ order: kind }));
    const drawn = [...allVisits(order, steps)].map(visit => ({
      visit,
      ...draw(visit, promptIdOf(visit.example)),
    }));
    const read = drawn.filter(({ isGold }) => !isGold);
    const expected = new Set(
      read.map(({ visit, checkpoint, sample }) => `${visit.example}/${checkpoint}/${sample}`),
    );
    const set = lazyAnswers(order, steps, options({ order: kind }), promptIdOf);
    expect(new Set(keysOf(set))).toEqual(expected);
    expect(keysOf(set)).toHaveLength(expected.size);
    expect(set.count).toBe(expected.size);
    expect(set.perCheckpoint).toEqual([0, 1, 2].map(k => [...set.at(k)].length));
    expect(set.goldVisits).toBe(drawn.length - read.length);
  });

  it('raising α generates nothing new; lowering it only adds', () => {
    const [low, middle, high] = [0, 0.25, 0.7].map(alpha =>
      keysOf(lazyAnswers(order, steps, options({ alpha }), promptIdOf)),
    );
    expect(high?.every(key => middle?.includes(key))).toBe(true);
    expect(middle?.every(key => low?.includes(key))).toBe(true);
    expect(lazyAnswers(order, steps, options({ alpha: 1 }), promptIdOf).count).toBe(0);
  });

  it('generates about (1−α)·E of T answers a prompt: expected 1.5 less repeats at T=10, E=2', () => {
    const large = { seed: 1, examples: 5000, batchSize: 50 };
    const draws = options({ checkpoints: 10, samplesPerPrompt: 1, visits: 10_000 });
    const { count } = lazyAnswers(large, 200, draws, promptIdOf);
    // Distinct answers a prompt: 10·(1 − (1 − 0.075)²) = 1.44375; standard deviation below 1.
    expect(Math.abs(count - 5000 * 1.44375)).toBeLessThan(4 * Math.sqrt(5000));
  });
});

describe('fullAnswers', () => {
  it('has every sample of every checkpoint', () => {
    const set = fullAnswers(4, { checkpoints: 3, samplesPerPrompt: 2 }, 0);
    expect([set.count, set.perCheckpoint]).toEqual([24, [8, 8, 8]]);
    expect(new Set(keysOf(set)).size).toBe(24);
  });
});
