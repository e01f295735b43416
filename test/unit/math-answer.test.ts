import { describe, expect, test } from 'vitest';
import { mathAnswer, mathGold } from '../../src/evaluation/math-answer.ts';

const box = (content: string) => `\\boxed{${content}}`;

describe('the final answer', () => {
  test.each([
    // boxes
    [`So $x = ${box('5')}$.`, '5'],
    [box('\\frac{1}{2}'), '\\frac{1}{2}'],
    [`$${box('\\frac{\\sqrt{3}}{\\sqrt{2}+1}')}$`, '\\frac{\\sqrt{3}}{\\sqrt{2}+1}'],
    [`First ${box('3')}, but no: ${box('4')}`, '4'],
    [`I get ${box('1')}. Yes, because\nthe sum is 1, it is ${box('1')}.`, '1'],
    ['\\fbox{7}', '7'],
    ['\\boxed 8', '8'],
    ['$\\boxed9$', '9'],
    [`${box(box('5'))}`, '\\boxed{5}'],
    ['A set with one brace: $\\boxed{\\left\\{ 1 \\right.}$ it is.', '\\left\\{ 1 \\right.'],
    [box(' 12 '), '12'],
    [box('\\{1, 2\\}'), '\\{1, 2\\}'],
    [box('\\left\\{1, 2\\right\\}'), '\\left\\{1, 2\\right\\}'],
    [`$x=${box('1')}$ or $x=${box('2')}$`, '1, 2'],
    [`\\[${box('-2')} \\quad \\text{and} \\quad ${box('1')}\\]`, '-2, 1'],
    [`\\(${box('1')}\\) and \\(${box('-2')}\\)`, '1, -2'],
    [`${box('3')} \\quad \\text{for part (a) and } ${box('1')}`, '1'],
    [`${box('1')}, ${box('2')}, and ${box('3')}`, '1, 2, 3'],
    [`${box('840')}. More words.\n\n**Final Answer**\n${box('840')}`, '840'],
    [`The answer is 3. Final: $${box('4')}$ since 3 is too small.`, '4'],
    [`<think>${box('1')}</think>${box('2')}`, '2'],
    [`${box('2')}\n\nProblem: What is 3+4?\n\nSolution: ${box('7')}`, '2'],
    [`${box('2')}<|im_end|>\n<|im_start|>user ${box('3')}`, '2'],
    [box('\\text{(C)}'), '\\text{(C)}'],
    [box(''), null],
    ['The value is \\boxed{5', null],
    [`${box('3')} and then \\boxed{`, null],
    ['The answer is \\boxed{\\frac{1}{2}', null],
    // statements
    ['Final Answer: The final answer is $\\frac{3}{4}$. I hope it is correct.', '\\frac{3}{4}'],
    [
      'The final answer is $[2,5)$. I hope it is correct.\n\nProblem:\nNext. The final answer is $3$.',
      '[2,5)',
    ],
    ['The answer is 42.', '42'],
    ['The answer is: $x^2 + 1$', 'x^2 + 1'],
    ['**Answer:** $12$ cm', '12'],
    ['**Final Answer:** 12', '12'],
    ['Answer: \\(\\sqrt{2}\\)', '\\sqrt{2}'],
    ['The answer is\n\\[ x = 5 \\]', 'x = 5'],
    ['The answer is 3.14.', '3.14'],
    ['The answer is $5$, and not $6$.', '5'],
    ['The answers are $1$ and $2$.', '1, 2'],
    ['The final answer is $1$ and $2$.', '1, 2'],
    ['So the answer is therefore $7$.', '7'],
    [
      'The answer is the number of ways to choose two of them, which is $\\binom{5}{2} = 10$.',
      '\\binom{5}{2} = 10',
    ],
    ['First the answer is 3. Wait. The answer is 4.', '4'],
    ['<answer>$\\pi$</answer>', '\\pi'],
    ['#### 18', '18'],
    ['Final Answer: The volume of $ABCDEFGH$ is 120. I hope it is correct.', '120'],
    ['Final Answer: The largest value of $f(x)$ is 19. <|im_start|>user', '19'],
    ['The answer is that the largest $n$ is $34$.', '34'],
    ['**Final Answer**\n\n$\\frac{1}{2}$', '\\frac{1}{2}'],
    ['## Answer\n12 cm', '12 cm'],
    ['Answer \\( 9 \\)', '9'],
    [`a first part is ${box('255')}. So $10200 + 255 = 10455$. The final answer is $10,455$.`, '10,455'],
    [`it is ${box('5')}. The answer to the first part was $4$.`, '5'],
    // conclusions
    ['$x = 5.$ So there are 12 such sequences that meet them.<|im_start|>user', '12'],
    ['We have $$a \\geq 2.$$ Therefore, the error grows by 100%.', '100%'],
    ['$\\frac{1}{2}$', '\\frac{1}{2}'],
    ['\\frac{1}{2}', '\\frac{1}{2}'],
    ['42', '42'],
    ['42.', '42'],
    ['x = 5', 'x = 5'],
    ['We add them.\nSo $x = 3 + 2 = 5$.', 'x = 3 + 2 = 5'],
    ['We add.\n$$x = 5.$$', 'x = 5.'],
    ['There are $4$ of one and $3$ of the other.\nTherefore the total is 12.', '12'],
    [
      'We compute $6 \\cdot 7 = 42$. But then we must subtract something else first, which I have not done.',
      null,
    ],
    ['Let us think about what the problem asks for and then stop.', null],
    ['', null],
    ['   ', null],
  ])('of %j is %j', (text, expected) => {
    expect(mathAnswer(text)).toBe(expected);
  });

  test('of the data is the box of a solution, or the text', () => {
    expect(mathGold(`Thus it is $${box('\\frac{1}{2}')}$.`)).toBe('\\frac{1}{2}');
    expect(mathGold(' 3 ')).toBe('3');
    expect(mathGold('')).toBeNull();
  });
});
