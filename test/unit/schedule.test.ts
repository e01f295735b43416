import { describe, expect, it } from 'vitest';
import {
  learningRate,
  reachOf,
  type Schedule,
  stepsPerEpoch,
  trainingSteps,
  warmupSteps,
} from '../../src/plan/training-plan.ts';

function rates(type: Schedule['type'], warmup: number, steps: number, peak = 1): number[] {
  return Array.from({ length: steps }, (_, step) =>
    learningRate({ type, peak, warmupSteps: warmup, steps }, step),
  );
}

// Also equal, bit for bit, to transformers 5.19 get_scheduler with the same arguments.
describe('learningRate', () => {
  it('constant', () => {
    expect(rates('constant', 0, 3, 2e-5)).toEqual([2e-5, 2e-5, 2e-5]);
  });

  it('constant after a warm-up that starts at 0', () => {
    expect(rates('constant_with_warmup', 2, 5)).toEqual([0, 0.5, 1, 1, 1]);
  });

  it('linear to 0 at the end', () => {
    expect(rates('linear', 2, 6)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25]);
    expect(rates('linear', 0, 4, 8)).toEqual([8, 6, 4, 2]);
  });

  it('cosine: (1 + cos(π/4))/2 = 0.853…, half way 0.5', () => {
    expect(rates('cosine', 2, 6)).toEqual([0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627]);
  });

  it('a warm-up as long as the run', () => {
    expect(rates('linear', 5, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8]);
  });
});

describe('reachOf', () => {
  it.each<[Schedule['type'], number, number]>([
    ['constant', 9, 3],
    ['constant_with_warmup', 0, 3],
    ['constant_with_warmup', 2, 3],
    ['constant_with_warmup', 3, 3],
    ['linear', 0, 1],
    ['linear', 1, 1],
    ['linear', 2, 6],
    ['linear', 5, 5],
    ['linear', 40, 5],
    ['cosine', 4, 5],
    ['cosine', 2, 6],
    ['cosine', 0, 7],
  ])('of %s after %i warm-up steps in %i steps is what the rates of the steps say', (type, warmup, steps) => {
    const all = rates(type, warmup, steps, 2);
    expect(reachOf({ type, peak: 2, warmupSteps: warmup, steps })).toEqual({
      highest: Math.max(...all),
      stepsAboveZero: all.filter(rate => rate > 0).length,
    });
  });
});

describe('number of steps', () => {
  it('the last batch of an epoch may be smaller', () => {
    expect(stepsPerEpoch({ examples: 600, batchSize: 32 })).toBe(19);
    expect(trainingSteps({ examples: 600, batchSize: 32, epochs: 48, maxSteps: -1 })).toBe(912);
    expect(trainingSteps({ examples: 1, batchSize: 8, epochs: 3, maxSteps: -1 })).toBe(3);
  });

  it('epochs may be a fraction: ⌈1.5 · 19⌉; max_steps goes first', () => {
    expect(trainingSteps({ examples: 600, batchSize: 32, epochs: 1.5, maxSteps: -1 })).toBe(29);
    expect(trainingSteps({ examples: 600, batchSize: 32, epochs: 1.5, maxSteps: 7 })).toBe(7);
  });

  it('warm-up: a number, a share below 1, or a ratio', () => {
    expect(warmupSteps(100, 10, null)).toBe(10);
    expect(warmupSteps(101, 0.03, null)).toBe(4);
    expect(warmupSteps(101, 0, 0.03)).toBe(4);
    expect(warmupSteps(100, 0, null)).toBe(0);
  });
});
