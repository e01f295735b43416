import { describe, expect, it } from 'vitest';
import { checkpointSteps } from '../../src/plan/training-plan.ts';

const linear = { spacing: 'linear', include_base: false } as const;
const geometric = { spacing: 'geometric', include_base: false } as const;

describe('checkpointSteps', () => {
  it('linear: t_k = round(k·S/T)', () => {
    expect(checkpointSteps(912, { num_checkpoints: 10, ...linear })).toEqual([
      91, 182, 274, 365, 456, 547, 638, 730, 821, 912,
    ]);
    expect(checkpointSteps(3, { num_checkpoints: 3, ...linear })).toEqual([1, 2, 3]);
    expect(checkpointSteps(7, { num_checkpoints: 1, ...linear })).toEqual([7]);
  });

  it('geometric: t_k = S^(k/T), 4th roots of 10,000', () => {
    expect(checkpointSteps(10_000, { num_checkpoints: 4, ...geometric })).toEqual([10, 100, 1000, 10_000]);
    expect(checkpointSteps(16, { num_checkpoints: 8, ...geometric })).toEqual([1, 2, 3, 4, 6, 8, 11, 16]);
  });

  it('lie in the first share of the run where a span is given', () => {
    expect(checkpointSteps(912, { num_checkpoints: 3, ...linear, span: 0.1 })).toEqual([30, 61, 91]);
    expect(checkpointSteps(1000, { num_checkpoints: 2, ...geometric, span: 0.1 })).toEqual([10, 100]);
    expect(() => checkpointSteps(100, { num_checkpoints: 10, ...linear, span: 0.05 })).toThrow(
      'tms.num_checkpoints is 10, but tms.span 0.05 has only 5 of the 100 steps of the SFT run',
    );
  });

  it('the base is one more and moves no other', () => {
    expect(checkpointSteps(10, { num_checkpoints: 2, ...linear, include_base: true })).toEqual([0, 5, 10]);
  });

  it('half as many share their steps with all when the run divides', () => {
    const ten = checkpointSteps(100, { num_checkpoints: 10, ...linear });
    expect(checkpointSteps(100, { num_checkpoints: 5, ...linear }).every(step => ten.includes(step))).toBe(
      true,
    );
  });

  it.each(['linear', 'geometric'] as const)(
    '%s: distinct, ascending, ending with the run, for every size',
    spacing => {
      for (let steps = 1; steps <= 60; steps++) {
        for (let count = 1; count <= steps; count++) {
          const found = checkpointSteps(steps, { num_checkpoints: count, spacing, include_base: true });
          expect(found).toEqual([...new Set(found)].toSorted((a, b) => a - b));
          expect([found.length, found.at(0), found.at(-1)]).toEqual([count + 1, 0, steps]);
        }
      }
    },
  );

  it('refuses more checkpoints than steps', () => {
    expect(() => checkpointSteps(9, { num_checkpoints: 10, ...linear })).toThrow(
      'tms.num_checkpoints is 10, but the SFT run has only 9 steps',
    );
  });
});
