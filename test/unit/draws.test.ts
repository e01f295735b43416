import { describe, expect, it } from 'vitest';
import { type DrawOptions, drawer } from '../../src/plan/draws.ts';

const prompts = Array.from({ length: 2000 }, (_, i) => [0x9e3779b9 ^ (i * 77), i] as const);
const options: DrawOptions = {
  seed: 42,
  alpha: 0.25,
  checkpoints: 10,
  samplesPerPrompt: 2,
  order: 'random',
  visits: 6000,
};

/** Draws of three epochs in plain order. */
function drawAll(more: Partial<DrawOptions> = {}) {
  const draw = drawer({ ...options, ...more });
  return [0, 1, 2].flatMap(epoch =>
    prompts.map((prompt, example) =>
      draw({ example, epoch, visit: epoch * prompts.length + example }, prompt),
    ),
  );
}

describe('drawer', () => {
  it('takes the reference with probability α: 1,500 ± 4 standard deviations of 34', () => {
    const references = drawAll().filter(({ isGold }) => isGold).length;
    expect(Math.abs(references - 1500)).toBeLessThan(134);
  });

  it('never at α = 0, always at α = 1', () => {
    expect(drawAll({ alpha: 0 }).some(({ isGold }) => isGold)).toBe(false);
    expect(drawAll({ alpha: 1 }).every(({ isGold }) => isGold)).toBe(true);
  });

  it('anneals α in equal steps: from 1 to 0 half of all, two thirds less in each third', () => {
    const draws = drawAll({ alpha: 1, alphaEnd: 0 });
    expect([draws[0]?.isGold, draws.at(-1)?.isGold]).toEqual([true, false]);
    // Σ of the probabilities of a third: 2000·(5/6, 3/6, 1/6), within 4 standard deviations of at most 22.
    for (const [third, expected] of [1667, 1000, 333].entries()) {
      const found = draws.slice(2000 * third, 2000 * (third + 1)).filter(({ isGold }) => isGold).length;
      expect(Math.abs(found - expected)).toBeLessThan(90);
    }
    expect(drawAll({ alpha: 0.25, alphaEnd: 0.25 })).toEqual(drawAll());
  });

  it('raising α keeps every checkpoint and sample, and turns no reference back', () => {
    const [low, high] = [drawAll({ alpha: 0.25 }), drawAll({ alpha: 0.6 })];
    const choices = (draws: typeof low) => draws.map(({ checkpoint, sample }) => [checkpoint, sample]);
    expect(choices(high)).toEqual(choices(low));
    expect(low.every(({ isGold }, i) => !isGold || high[i]?.isGold)).toBe(true);
  });

  it('the coin says nothing about the checkpoint', () => {
    const draws = drawAll({ alpha: 0.5, checkpoints: 2 });
    const late = draws.filter(({ isGold, checkpoint }) => isGold && checkpoint === 1).length;
    expect(Math.abs(late - 1500)).toBeLessThan(134);
  });

  it('draws checkpoints and samples uniformly: 300 ± 4 standard deviations of 17', () => {
    const counts = new Map<string, number>();
    for (const { checkpoint, sample } of drawAll()) {
      const key = `${checkpoint}/${sample}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(20);
    for (const count of counts.values()) expect(Math.abs(count - 300)).toBeLessThan(70);
  });

  it('depends on seed, epoch and prompt, not on place or neighbours', () => {
    const draw = drawer(options);
    const [prompt, other] = [[1, 5] as const, [1, 6] as const];
    const draws = (id: readonly [number, number], place: number) =>
      Array.from({ length: 40 }, (_, epoch) => draw({ example: place, epoch, visit: place }, id));
    expect(draws(prompt, 5)).toEqual(draws(prompt, 99));
    expect(draws(prompt, 5)).not.toEqual(draws(other, 5));
    expect(drawAll({ seed: 43 })).not.toEqual(drawAll());
  });

  it('early to late: each checkpoint gets its tenth of the training, in order', () => {
    const checkpoints = drawAll({ order: 'early_to_late' }).map(({ checkpoint }) => checkpoint);
    expect(checkpoints).toEqual(checkpoints.map((_, visit) => Math.floor(visit / 600)));
  });
});
