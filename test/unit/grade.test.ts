import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { grade } from '../../src/api/grade.ts';
import { called } from '../support/in-process.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

describe('grade', () => {
  test('takes a gold answer, or the columns of the task', async () => {
    const rows = [
      { response: 'So it is 18.', gold: '18' },
      { completion: '#### 17', target: 18 },
      { question: 'Q', answer: '2 + 2 = 4\n#### 4', response: '\\boxed{4}' },
      { answer: 'The answer is 5', gold: '5' },
      { doc: { question: 'Q', answer: 'x\n#### 6' }, resps: [['It is 6']], target: 'x\n#### 6' },
      { response: null, gold: '3' },
    ];
    const found = await grade('gsm8k', rows);
    expect(found.rows.map(row => [row?.score, row?.extracted])).toEqual([
      [1, '18'],
      [0, '17'],
      [1, '4'],
      [1, '5'],
      [1, '6'],
      [0, null],
    ]);
    expect(found.means).toEqual({ accuracy: 4 / 6 });
    expect(found).toMatchObject({ task: 'gsm8k', taskVersion: 1, scorer: 'gsm8k' });
  });

  test('takes the columns that are named, and gives the measures of the scorer', async () => {
    const rows = [
      { mine: 'Chief', truth: 'the Chief of Protocol' },
      { mine: 'Chief of Protocol', truth: 'the Chief of Protocol' },
    ];
    const found = await grade('hotpotqa', rows, { columns: { answer: 'mine', gold: 'truth' } });
    expect(found.means).toEqual({ accuracy: 0.5, f1: 0.75 });
  });

  test('asks which column is the answer where two could be', async () => {
    const rows = [
      { prompt: 'p', completion: '<answer>1+2</answer>', nums: [1, 2], target: 3, prediction: 'no idea' },
    ];
    await expect(grade('countdown', rows)).rejects.toThrow('--columns answer=NAME');
    const found = await grade('countdown', rows, { columns: { answer: 'prediction' } });
    expect(found.means).toEqual({ accuracy: 0 });
  });

  test('leaves out what the task leaves out', async () => {
    const rows = [
      {
        key: 1122,
        prompt: 'p',
        instruction_id_list: ['keywords:letter_frequency'],
        kwargs: [{}],
        response: 'a',
      },
    ];
    expect((await grade('ifeval', rows)).rows).toEqual([null]);
  });

  test('names every row that cannot be scored, and what to do', async () => {
    const rows = [
      { response: '1' },
      { gold: '2' },
      { response: '1', gold: 'none' },
      { response: [1, 2], gold: '3' },
    ];
    await expect(grade('gsm8k', rows, { source: 'a.jsonl', lines: [3, 5, 8, 9] })).rejects.toMatchObject({
      message: [
        'a.jsonl: 4 lines are wrong',
        '  line 3: no column "question"; there are: response',
        '  line 5: no column with an answer (response, output, generation, generated_text, model_output, completion, prediction, pred, answer); there are: gold',
        '  line 8: no number in the gold answer',
        '  line 9: response is [1,2], not a text',
      ].join('\n'),
      fix: expect.stringContaining('--columns answer=NAME,gold=NAME'),
    });
    await expect(grade('mmlu', rows)).rejects.toMatchObject({
      fix: expect.stringContaining('mmlu_generative'),
    });
    await expect(grade('gsm8', rows)).rejects.toThrow('there is no task gsm8');
  });
});

test('tms grade prints the accuracy and writes a score for each row', async () => {
  const file = temporaryFile(
    'answers.jsonl',
    '{"id":"a","response":"So 18.","gold":"18"}\n\n{"response":"17","gold":"18"}\n',
  );
  const { printed, error } = await called(['grade', '--task', 'gsm8k', file], { TMS_HOME: dirname(file) });
  expect(error).toBeNull();
  const out = join(dirname(file), 'answers.graded.jsonl');
  expect(printed).toBe(`gsm8k: accuracy 50.00 % (1 of 2), scorer gsm8k 5\nscores: ${out}`);
  expect(
    readFileSync(out, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
  ).toEqual([
    { line: 1, id: 'a', score: 1, is_right: true, extracted: '18' },
    { line: 3, score: 0, is_right: false, extracted: '17' },
  ]);
});
