import { describe, expect, test } from 'vitest';
import { finalNumber } from '../../src/evaluation/gsm8k.ts';

describe('the final number', () => {
  test.each([
    ['She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18', 18],
    ['#### 18\nQuestion: 4 and 5?\n#### 9', 18],
    ['####18', 18],
    ['#### $1,234.50', 1234.5],
    ['#### -7', -7],
    ['#### −7', -7],
    ['#### 18 dollars, not 20', 18],
    ['#### 3.0', 3],
    ['#### Step 1: add\nThe answer is 12.', 12],
    ['12 apples\n#### none', 12],
  ])('stands behind #### where there is one: %j', (text, expected) => {
    expect(finalNumber(text)).toBe(expected);
  });

  test.each([
    ['The answer is 42.', 42],
    ['It costs $5.', 5],
    ['It costs $1,000,000!', 1_000_000],
    ['He owes -$3.25.', -3.25],
    ['He owes $-3.25.', -3.25],
    ['It is **72**', 72],
    ['so 10-3=7', 7],
    ['so 10 - 3', 3],
    ['so 10-3', 3],
    ['so (10)-3', 3],
    ['x = -3', -3],
    ['either 1,2,3', 3],
    ['half: .5', 0.5],
    ['let me think...5', 5],
    ['version 1.2.3', 3],
    ['18.', 18],
    ['\\boxed{80}', 80],
  ])('is the last one elsewhere: %j', (text, expected) => {
    expect(finalNumber(text)).toBe(expected);
  });

  test('is null without digits', () => {
    expect(finalNumber('#### no idea, sorry.')).toBeNull();
    expect(finalNumber('')).toBeNull();
  });
});
