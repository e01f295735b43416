import { expect, test } from 'vitest';
import type { Question } from '../../src/evaluation/scorer.ts';
import { makeScorer } from '../../src/evaluation/scorers.ts';

const none = { command: null, module: null, scorer_inputs: [] };
const question = (changes: Partial<Question>): Question => ({
  id: '1',
  line: 1,
  prompt: '',
  gold: null,
  record: {},
  ...changes,
});

test('answers to MATH are compared by value, rules of IFEval are checked, in one order', async () => {
  const math = await makeScorer({ scorer: 'math', ...none });
  const half = question({ gold: 'So it is $\\boxed{\\frac{1}{2}}$.' });
  const texts = [
    '\\boxed{0.5}',
    '\\boxed{\\frac{1}{2}}',
    'The answer is $2$.',
    'no idea at all, sorry about that',
    '\\boxed{\\frac{}',
  ];
  const asked = texts.map(text => ({ question: half, answer: { text, isFinished: true } }));
  const ifeval = await makeScorer({ scorer: 'ifeval', ...none });
  const rules = {
    instruction_id_list: ['punctuation:no_comma', 'startend:quotation'],
    kwargs: [{}, { x: null }],
  };
  const quoted = question({ record: { prompt: 'Quote.', ...rules } });
  const said = ['"a"', 'Sure:\n"a"', '"a, b"'].map(text => ({
    question: quoted,
    answer: { text, isFinished: true },
  }));
  const [grades, verdicts] = await Promise.all([math.grade(asked), ifeval.grade(said)]);
  expect(grades).toEqual([
    { score: 1, extracted: '0.5' },
    { score: 1, extracted: '\\frac{1}{2}' },
    { score: 0, extracted: '2' },
    { score: 0, extracted: null },
    { score: 0, extracted: null },
  ]);
  expect(
    verdicts?.map(({ score, measures }) => [
      score,
      measures?.strict,
      measures?.loose,
      measures?.rules_strict,
    ]),
  ).toEqual([
    [1, true, true, [true, true]],
    [0, false, true, [true, false]],
    [0, false, false, [false, true]],
  ]);
  expect(ifeval.problemOf(question({ record: { ...rules, instruction_id_list: ['a:b', 'c'] } }))).toBe(
    'unknown instruction "a:b"',
  );
  expect(math.problemOf(question({ gold: '' }))).toBe('no answer in the gold solution');
});

test('nothing is asked after a signal', async () => {
  const math = await makeScorer({ scorer: 'math', ...none });
  const asked = [{ question: question({ gold: '1' }), answer: { text: '2', isFinished: true } }];
  await expect(math.grade(asked, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
