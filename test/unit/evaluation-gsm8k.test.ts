import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { finalNumber, sameFinalNumber } from '../../src/evaluation/gsm8k.ts';

type Labelled = readonly [output: string, answer: number | null];

/** Every number is the one that a person takes from the output. */
const outputs: Readonly<Record<string, readonly Labelled[]>> = {
  'behind #### where the number is all that it says': [
    ['She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18', 18],
    ['#### 18\nQuestion: 4 and 5?\n#### 9', 18],
    ['She has 18 eggs.\n#### 18\n\nTom has 3 apples and eats 1.\n3 - 1 = 2\n#### 2', 18],
    ['####18', 18],
    ['so 18 #### 18', 18],
    ['####\n18', 18],
    ['#### $1,234.50', 1234.5],
    ['#### $1,234.00', 1234],
    ['#### 12 000', 12_000],
    ['#### -7', -7],
    ['#### −7', -7],
    ['#### 18.', 18],
    ['#### **18**', 18],
    ['#### $18$', 18],
    ['#### 18 dollars, not 20', 18],
    ['#### 18 eggs', 18],
    ['#### 18%', 18],
    ['#### 3.0', 3],
    ['#### The final answer is 18', 18],
    ['#### Answer: 18', 18],
  ],
  'not behind a heading of level four': [
    ['#### 1. Count the eggs\n16 - 3 - 4 = 9\n\n#### 2. Sell them\n9 * 2 = 18\n\nThe answer is 18.', 18],
    ['#### Step 1: add\nThe answer is 12.', 12],
    ['#### 1) Eggs left\n16 - 7 = 9\n#### 2) Money\n9 * 2 = 18', 18],
    ['#### 2 Sell the eggs\nShe earns 18 dollars.', 18],
    ['#### 16 - 3 - 4 = 9\n#### 9 * 2 = 18', 18],
    ['#### Final Answer\n18', 18],
    ['### 1. Eggs\n16 - 3 - 4 = 9\n### 2. Dollars\n9 * 2 = 18', 18],
    ['12 apples\n#### none', 12],
    ['#### 1\nCount the eggs\n#### 2\nSell: 18', 18],
    ['#### 1: Count\n9\n#### 2: Sell\n18', 18],
    ['#### 2. Therefore, the answer is 18', 18],
  ],
  'in the last box': [
    ['\\boxed{80}', 80],
    ['Thus she makes \\(9 \\times 2 = \\boxed{18}\\) dollars in 1 day.', 18],
    ['\\[\\boxed{\\$18}\\]', 18],
    ['$\\boxed{1{,}234}$', 1234],
    ['\\boxed{12\\,000}', 12_000],
    ['\\boxed{\\frac{1}{2}}', 0.5],
    ['\\boxed{-\\dfrac{3}{4}}', -0.75],
    ['\\boxed{18 \\text{ dollars for } 9 \\text{ eggs}}', 18],
    ['\\boxed{x = 18}', 18],
    ['\\boxed{9}, and then \\boxed{18}', 18],
    ['\\boxed{18\\%}', 18],
    ['The answer is \\boxed{18}. There were 9 eggs.', 18],
    ['\\boxed{\\textbf{18}}', 18],
  ],
  'behind "answer is"': [
    ['The answer is 42.', 42],
    ['The answer is **18** (not 20).', 18],
    ['The answer is $18 per day, which is 2 dollars an egg.', 18],
    ['The answer is 9 * 2 = 18.', 18],
    ['The answer is 16 - 3 - 4 = 9 eggs times $2 = $18.', 18],
    ['So the answer is: $18.00', 18],
    ['The final answer is $\\$18$.', 18],
    ['**Final Answer:** 18 dollars', 18],
    ['**Final Answer**\n\n18 dollars a day for 9 eggs', 18],
    ['### Final Answer: **$18**\n\nI used 3 steps.', 18],
    ['The answer is x = 18, since 9 times 2 is 18 and 7 are used.', 18],
    ['The answer is approximately 33.33.', 33.33],
    ['The answer is (B) 18.', 18],
    ['The answer is 9.\n\nWait, 9 is the number of eggs. The answer is 18.', 18],
    ['The answer is 18.\n\nTom has 3 apples and eats 1. How many are left? The answer is 2.', 18],
    ['The answer is not 20. She makes 18 dollars.', 18],
    ['The answer is that Janet makes 18 dollars a day from 9 eggs.', 18],
    ['The correct answer would be 18, because 16 - 7 = 9.', 18],
    ['Answer: 18', 18],
    ['answer = 18', 18],
    ['Answer: 18 dollars.\n\nExplanation: 16 - 7 = 9 and each costs $2.', 18],
    ['Answer: Janet has 16 - 3 - 4 = 9 eggs left. She makes 9 * 2 = 18 dollars.', 18],
    ['Answer: 9 eggs are left after 3 and 4 are used.\nShe makes $18.', 18],
    ['<answer>18</answer> after 2 steps', 18],
    ['The answer is - 5.', -5],
    ['The answer is negative 5.', -5],
    ['The answer is 1.5 million.', 1_500_000],
  ],
  'before the next question that a model goes on with': [
    [
      'She earns 9 * 2 = 18 dollars. The answer is 18.\n\nQuestion: Tom has 3 apples and eats 1. How many are left?\nAnswer: Tom has 3 - 1 = 2',
      18,
    ],
    ['She earns 9 * 2 = 18 dollars.\n\nQ: Tom has 3 apples.\nA: 3', 18],
    ['She earns 18 dollars.\n\n**Question 2:** Tom has 3 apples', 18],
    ['She earns 18 dollars.\n\nProblem 2\nTom has 3 apples', 18],
    ['She earns 18 dollars.\n### Question: Tom has 3 apples', 18],
    ['She earns 18 dollars.\nuser\nTom has 3 apples', 18],
    ['She earns 18 dollars.\n\nHuman: and 5 plus 5?', 18],
    ['She earns 18 dollars.<|im_end|>\n<|im_start|>user\n5?', 18],
    ['She earns 18 dollars.</s> 5', 18],
    ['She earns 18 dollars.\n\n## Problem 4.3\nTom has 3 apples', 18],
    ['She earns 18 dollars.\n\nExample 2: Tom has 3 apples', 18],
    ['9 * 2 = 18. Q: next 5', 18],
    ['Question: How much does Janet make with 16 eggs?\nAnswer: She makes 18 dollars.', 18],
    ['Question: 16 eggs?\nAnswer: 18 dollars.\nQuestion: 5 eggs?\nAnswer: 10', 18],
    ['<think>Is it 20? No, 9 * 2.</think>\nShe makes 18 dollars.', 18],
  ],
  'else the last number': [
    ['It costs $5.', 5],
    ['It costs $1,000,000!', 1_000_000],
    ['She makes 9 * 2 = $18 for 9 eggs in 1 day.', 18],
    ['Janet makes **$18** a day by selling 9 eggs at $2 each.', 18],
    ['She makes 18 dollars (9 eggs at $2 each).', 18],
    ['She needs 33 bananas because there is 1 banana in each batch.', 33],
    ['She makes $18.\n\nNote: this assumes that 7 eggs are used.', 18],
    ['1. Eggs: 16 - 7 = 9\n2. Dollars: 9 * 2 = 18', 18],
    ['1. 16 - 7 = 9\n2. 9 * 2 = 18\n3.', 18],
    ['Step 1: 16 - 7 = 9\nStep 2: 9 * 2 = 18\nStep 3:', 18],
    ['She had 18 on the 3rd day.', 18],
    ['It is **72**', 72],
    ['so 10-3=7', 7],
    ['so 10 - 3', 3],
    ['so 10-3', 3],
    ['so (10)-3', 3],
    ['either 1,2,3', 3],
    ['10–12 eggs', 12],
    ['let me think...5', 5],
    ['18.', 18],
    ['18.5.', 18.5],
    ['half: .5', 0.5],
    ['version 1.2.3', 3],
    ['She pays 18 dollars and 50 cents.', 18.5],
    ['They meet at 5:00 PM.', 5],
    ['After 90 minutes they meet at 5:30.', 90],
    ['The garden has 18 m^2.', 18],
    ['\\( x_1 = 9 \\), \\( x_2 = 18 \\)', 18],
    ['**Total:** 18kg', 18],
  ],
  'in many ways of writing it': [
    ['The flat costs 120 000 euros.', 120_000],
    ['The flat costs 120\u00a0000 euros.', 120_000],
    ['The flat costs 1\u2009120\u202f000 euros.', 1_120_000],
    ["The flat costs 120'000 francs.", 120_000],
    ['The flat costs 1,00,000 rupees.', 100_000],
    ['The flat costs 1.234.567 euros.', 1_234_567],
    ['The flat costs 1.234,50 euros.', 1234.5],
    ['The flat costs 12,5 euros.', 12.5],
    ['It is 1.234 metres.', 1.234],
    ['The answer is 1 234,50', 1234.5],
    ['Pick (3,4)', 4],
    ['She earns $18/hour', 18],
    ['The total is $50 + $25 = \\$75.00.', 75],
    ['Answer: $\\$1{,}234$', 1234],
    ['The change is - 5 degrees.', -5],
    ['The change is \u20135 degrees.', -5],
    ['- 5 apples\n- 6 pears', 6],
    ['so x = -7.', -7],
    ['x = -3', -3],
    ['x = -**3**', -3],
    ['- **3** apples\n- **4** pears', 4],
    ['He owes -$3.25.', -3.25],
    ['He owes $-3.25.', -3.25],
    ['In total 2.5e3 metres.', 2500],
    ['In total 2.5 × 10^3 metres.', 2500],
    ['In total $2.5 \\times 10^{3}$ metres.', 2500],
    ['In total 10^3 metres.', 1000],
    ['She gets US$18.', 18],
    ['She gets €18.', 18],
    ['She gets 18 €.', 18],
    ['She gets Rs. 18', 18],
    ['She gets $18k.', 18_000],
    ['She eats 3/4 of it.', 0.75],
    ['She eats 3 1/2 of them.', 3.5],
    ['She eats 3½ of them.', 3.5],
    ['That is 18 percent', 18],
  ],
  'never found where there is none': [
    ['#### no idea, sorry.', null],
    ['I do not know.', null],
    ['', null],
  ],
};

describe.each(Object.entries(outputs))('the final number is found %s', (_, rows) => {
  test.each(rows)('%j', (output, answer) => {
    expect(finalNumber(output)).toBe(answer);
  });
});

test('a long answer of a model that repeats itself takes no longer than its length', () => {
  const phrases = [
    'The answer is 18. ',
    '#### 1. Count 9 eggs (or 3)\n',
    '1'.repeat(2000),
    '\\boxed{',
    '(a = 1, ',
  ];
  for (const phrase of phrases) finalNumber(phrase.repeat(2000).slice(0, 40_000));
});

test('a number with a scale word is the same as its digits, and as the number alone', () => {
  expect(sameFinalNumber('They earned $405 million.', '#### 405')).toBe(true);
  expect(sameFinalNumber('They earned $405 million.', '#### 405,000,000')).toBe(true);
  expect(sameFinalNumber('They earned $405.', '#### 405,000,000')).toBe(false);
});

const pairs = readFileSync(join(import.meta.dirname, '../fixtures/grading/gsm8k-pairs.txt'), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map(line => line.split(';;').map(part => part.trim()));

test('290 outputs have the verdict that was decided by hand', () => {
  expect(pairs).toHaveLength(290);
  const wrong = pairs.filter(
    ([gold = '', output = '', label]) =>
      sameFinalNumber(output.replaceAll('\\n', '\n'), gold) !== (label === 'right'),
  );
  expect(wrong).toEqual([]);
});

const data = join(import.meta.dirname, '../../../shared/data/gsm8k');

describe.skipIf(!existsSync(data))('the data set', () => {
  type Row = { answer: string };
  // Read in a test: the body of a group that is skipped runs all the same.
  const readReferences = () =>
    ['train', 'test'].flatMap(split =>
      readFileSync(join(data, `${split}.jsonl`), 'utf8')
        .trim()
        .split('\n')
        .map(line => (JSON.parse(line) as Row).answer),
    );
  const numberOf = (answer: string) => Number(/#### (.*)$/.exec(answer)?.[1]?.replaceAll(',', ''));

  test('every reference gives the number behind its ####', () => {
    const references = readReferences();
    expect(references).toHaveLength(8792);
    expect(references.map(finalNumber)).toEqual(references.map(numberOf));
  });

  test('the worked steps alone give it, but for the few that end in another number', () => {
    const references = readReferences();
    const agreeing = references.filter(
      answer => finalNumber(answer.replace(/#### .*$/, '')) === numberOf(answer),
    );
    expect(agreeing.length / references.length).toBeGreaterThan(0.985);
  });
});
