import { expect, it } from 'vitest';
import { evaluationSteps } from '../../src/plan/training-plan.ts';

it('spreads points from the base to the last step, without repeats in short runs', () => {
  expect(evaluationSteps(912, 4)).toEqual([0, 304, 608, 912]);
  expect(evaluationSteps(10, 2)).toEqual([0, 10]);
  expect(evaluationSteps(2, 9)).toEqual([0, 1, 2]);
  expect(evaluationSteps(1, 4)).toEqual([0, 1]);
});
