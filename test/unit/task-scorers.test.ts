import { describe, expect, test } from 'vitest';
import type { EvaluationSet } from '../../src/config/set-settings.ts';
import { optionNamed } from '../../src/evaluation/letter.ts';
import type { Grade, Question } from '../../src/evaluation/scorer.ts';
import { makeScorer } from '../../src/evaluation/scorers.ts';
import { tasks } from '../../src/tasks/index.ts';

async function grade(
  scorer: EvaluationSet['scorer'],
  question: Partial<Question>,
  texts: readonly string[],
): Promise<Grade[]> {
  const { grade, problemOf } = await makeScorer({ scorer, command: null, module: null, scorer_inputs: [] });
  const asked = { id: '1', line: 1, prompt: '', gold: null, record: {}, ...question };
  expect(problemOf(asked)).toBeNull();
  const answered = texts.map(text => ({ question: asked, answer: { text, isFinished: true } }));
  return grade(answered);
}

async function scores(...args: Parameters<typeof grade>): Promise<number[]> {
  return (await grade(...args)).map(({ score }) => score);
}

describe('letter', () => {
  const options = ['a red dwarf', 'A white dwarf', 'a dwarf', 'the Sun'];

  test.each([
    ['B', 1],
    ['(b)', 1],
    ['B.', 1],
    ['B) A white dwarf', 1],
    ['The answer is C.', 2],
    ['The correct answer is (D) the Sun, because it shines.', 3],
    ['**Answer:** D', 3],
    ['Answer: **(A)**', 0],
    ['\\boxed{C}', 2],
    ['$\\boxed{\\text{(D)}}$', 3],
    ['Final answer: \\boxed{\\text{B. A white dwarf}}', 1],
    ['First I thought the answer is A. But no: the answer is B.', 1],
    ['<think>The answer is A</think>The answer is D', 3],
    ['A is wrong, since it is red. Option D is correct.', 3],
    ['The answer is A white dwarf.', 1],
    ['The answer is a red dwarf', 0],
    ['the sun', 3],
    ['I would choose option C', 2],
    ['So the best choice is option (B).', 1],
    ['The answer is A because it is the coldest.', 0],
    ['Let us think.\n\nTherefore: (D)', 3],
    ['The answer is D.\n\nQuestion: What else?\nAnswer: A', 3],
    ['<answer>C</answer>', 2],
    ['C: a dwarf', 2],
  ])('%j names option %j', (text, place) => {
    expect(optionNamed(text, options)).toBe(place);
  });

  test.each([
    '',
    'I do not know.',
    'A star is a ball of gas.',
    'The answer is E.',
    'The answer is not B.',
    'A) a red dwarf\nB) A white dwarf\nC) a dwarf\nD) the Sun',
    'Both (A) and (C)',
    'It depends on A',
    'The answer is unclear.',
  ])('%j names none', text => {
    expect(optionNamed(text, options)).toBeNull();
  });

  test('is compared with the gold letter', async () => {
    const question = { gold: 'C', record: { options } };
    expect(await grade('letter', question, ['The answer is C.', 'D', ''])).toEqual([
      { score: 1, extracted: 'C' },
      { score: 0, extracted: 'D' },
      { score: 0, extracted: null },
    ]);
  });
});

describe('countdown', () => {
  const question = { record: { numbers: [3, 7, 25, 50], target: 96 } };

  test('takes an expression of just these numbers that comes to the target', async () => {
    const right = [
      '<answer>50 + 25 + 7 * 3</answer>',
      'First <answer>1</answer>, then <answer>(7*3) + 25 + 50 = 96</answer>',
      '\\boxed{7 \\times 3 + 25 + 50}',
      'So:\n50 + 25 + 7×3 = 96',
      'The expression is: (3 × 7) + (25 + 50)',
      '<think><answer>3</answer></think>$25+50+7\\cdot 3$',
    ];
    expect(await scores('countdown', question, right)).toEqual(right.map(() => 1));
  });

  test('takes nothing else', async () => {
    const wrong = [
      '<answer>50 + 25 + 7 + 3</answer>', // 85
      '<answer>50 + 46</answer>', // other numbers
      '<answer>50 + 25 + 7 * 3 + 0</answer>',
      '<answer>50 + 25 + 21</answer>', // 3 and 7 not written
      '<answer>50 + 25 + 7 * 3 * 3 / 3</answer>',
      '<answer>96</answer>',
      '<answer>50 + 25 + 7 * 3 = 97</answer>',
      '<answer>50 + 25 + (7 * 3</answer>',
      '<answer></answer>',
      '50 + 25 = 75',
      'process.exit(1)',
      '',
    ];
    expect(await scores('countdown', question, wrong)).toEqual(wrong.map(() => 0));
  });

  test('divides only where it comes out even, and is exact beyond doubles', async () => {
    expect(
      await scores('countdown', { record: { numbers: [3, 2], target: 1 } }, ['<answer>3/2</answer>']),
    ).toEqual([0]);
    const halves = { record: { numbers: [1, 2, 2], target: 1 } };
    expect(await scores('countdown', halves, ['<answer>1/2*2</answer>', '<answer>2/2*1</answer>'])).toEqual([
      0, 1,
    ]);
    const numbers = [2 ** 53 - 1, 2 ** 53 - 1, 3, 2];
    const large = { record: { numbers, target: 1 } };
    const all = `${numbers[0]} * ${numbers[1]} - ${numbers[0]} * ${numbers[1]}`;
    expect(
      await scores('countdown', large, [`<answer>${numbers[0]} / ${numbers[1]} * (3 - 2)</answer>`, all]),
    ).toEqual([1, 0]);
    expect(
      await scores('countdown', { record: { numbers: [1, 1, 1], target: 1 } }, ['<answer>1/(1-1)</answer>']),
    ).toEqual([0]);
  });
});

describe('hotpotqa', () => {
  test('matches as the official script does, and gives its F1', async () => {
    const grades = await grade('hotpotqa', { gold: 'the Chief of Protocol' }, [
      'Chief of protocol.',
      'Answer: "Chief of Protocol"',
      'Chief',
      'Chief of Staff',
      '',
    ]);
    expect(grades.map(({ score }) => score)).toEqual([1, 1, 0, 0, 0]);
    // Precision 1, recall 1/3: 1/2. Two of three words each way: 2/3.
    expect(grades.map(({ measures }) => measures?.f1)).toEqual([1, 1, 0.5, 2 / 3, 0]);
  });

  test('counts yes and no as whole answers', async () => {
    const grades = await grade('hotpotqa', { gold: 'yes' }, ['Yes', 'yes they are', 'No']);
    expect(grades.map(({ score, measures }) => [score, measures?.f1])).toEqual([
      [1, 1],
      [0, 0],
      [0, 0],
    ]);
  });
});

describe('triviaqa', () => {
  test('takes any alias, whatever its articles and punctuation', async () => {
    const question = { gold: 'The Beatles', record: { aliases: ['The Beatles', 'Fab Four', 'Rock-n-roll'] } };
    const texts = [
      'beatles',
      'The fab four.',
      'rock n roll',
      '“The Beatles”',
      'The Beatles and the Stones',
      'Beatle',
      '',
    ];
    expect(await scores('triviaqa', question, texts)).toEqual([1, 1, 1, 1, 0, 0, 0]);
  });

  test('takes no empty answer for a name that is nothing but an article', async () => {
    const question = { gold: 'The The', record: { aliases: ['The The'] } };
    expect(await scores('triviaqa', question, ['', 'a', '...', 'the the', ' The The '])).toEqual([
      0, 0, 0, 1, 1,
    ]);
  });
});

describe('lambada', () => {
  test('compares the first word', async () => {
    expect(
      await scores('lambada', { gold: 'Jeb' }, [' Jeb', 'Jeb."', 'jeb', 'Jebson', 'the Jeb', '']),
    ).toEqual([1, 1, 0, 0, 0, 0]);
  });
});

describe('toolalpaca', () => {
  const [question] = tasks.toolalpaca.rows({
    NLDocumentation: 'f: x',
    Instructions: ['r'],
    Golden_Answers: [
      [
        { Action: 'searchAnime', Action_Input: '{"query": "Attack on Titan", "genre": "", "page": 1}' },
        { Action: 'getCast', Action_Input: '{"animeId": $' + '{animeId from searchAnime}}' },
      ],
    ],
  });
  const asked = { gold: '', record: question ?? {} };
  const search = 'Action: searchAnime\nAction Input: {"query": "attack on titan", "page": "1"}';
  const cast = 'Action: getCast\nAction Input: {"animeId": 16498}';

  test('matches names, order and arguments', async () => {
    const right = [
      `${search}\n${cast}`,
      `1. ${search}\nObservation: {"id": 3}\n2. ${cast}`,
      `Thought: I look.\n**Action:** searchAnime\n**Action Input:** {\n  "query": "Attack on Titan",\n  "page": 1, "genre": null\n}\n${cast}`,
      '[{"name": "searchAnime", "arguments": {"query": "Attack on Titan", "page": 1}}, {"name": "getCast", "arguments": {"animeId": "x"}}]',
    ];
    expect(await scores('toolalpaca', asked, right)).toEqual([1, 1, 1, 1]);
    const wrong = [
      `${cast}\n${search}`,
      search,
      `${search}\n${cast}\n${cast}`,
      `${search.replace('titan', 'trees')}\n${cast}`,
      `${search.replace('"page"', '"pages"')}\n${cast}`,
      `${search}\n${cast.replace('animeId', 'id')}`,
      `${search}\nAction: getCast\nAction Input: sixteen`,
      'Action: searchAnime',
      '[{"name": "searchAnime", "arguments": ',
      '',
    ];
    expect(await scores('toolalpaca', asked, wrong)).toEqual(wrong.map(() => 0));
  });
});
