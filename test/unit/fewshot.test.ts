/** Examples before each question; the texts are written by hand, as lm-eval 0.4 has them for the same rows. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { shotsFileOf } from '../../src/evaluation/fewshot.ts';
import { readChoices, readQuestions, type SetSettings } from '../../src/evaluation/read-set.ts';
import { workFolder } from '../support/recorded-run.ts';

const folder = workFolder();
const put = (name: string, rows: readonly object[]) => {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, rows.map(row => `${JSON.stringify(row)}\n`).join(''));
  return file;
};
const asked = (isChat: boolean) => ({ isChat, systemPrompt: null, cacheDirectory: folder });
const setOf = (keys: string) =>
  parseConfig(
    `model_name_or_path: m\noutput_dir: o\ndataset_name: d.jsonl\neval: { sets: [{ ${keys} }] }`,
    'c.yaml',
  ).eval.sets[0] as SetSettings;
const promptsOf = async (keys: string, isChat = false) => {
  const set = setOf(`path: ${folder}, ${keys}`);
  const questions =
    set.scorer === 'multiple_choice'
      ? await readChoices(set, asked(isChat))
      : await readQuestions(set, asked(isChat), () => null);
  return questions.map(({ prompt }) => prompt);
};

const arc = (question: string, right: string) => ({
  question,
  choices: { text: ['ice', 'fire'], label: ['A', 'B'] },
  answerKey: right,
});
const mmlu = (subject: string, question: string, answer: number) => ({
  subject,
  question,
  choices: ['1', '2', '3', '4'],
  answer,
});

describe('a question with examples', () => {
  test('of GSM8K reads as in lm-eval, and as earlier turns where it is a chat', async () => {
    put('gsm8k/train.jsonl', [
      { question: 'One and one?', answer: '1 + 1 = <<1+1=2>>2\n#### 2' },
      { question: 'Two and two?', answer: '#### 4' },
      { question: 'Not read?', answer: '#### 0' },
    ]);
    put('gsm8k/test.jsonl', [{ question: 'Three and one?', answer: '#### 4' }]);
    expect(await promptsOf('task: gsm8k, num_fewshot: 2')).toEqual([
      'Question: One and one?\nAnswer: 1 + 1 = <<1+1=2>>2\n#### 2\n\n' +
        'Question: Two and two?\nAnswer: #### 4\n\nQuestion: Three and one?\nAnswer:',
    ]);
    const end = '\n\nReason step by step, and end with a line "#### N", where N is the answer as a number.';
    expect(await promptsOf('task: gsm8k, num_fewshot: 1', true)).toEqual([
      [
        { role: 'user', content: `One and one?${end}` },
        { role: 'assistant', content: '1 + 1 = <<1+1=2>>2\n#### 2' },
        { role: 'user', content: `Three and one?${end}` },
      ],
    ]);
    expect(await promptsOf('task: gsm8k, num_fewshot: 0')).toEqual([`Three and one?${end}`]);
  });

  test('of MATH reads as in Minerva, whichever of its test sets is asked', async () => {
    put('math/train.jsonl', [{ problem: 'Find $x$.', solution: 'It is $\\boxed{1}$.', level: 'Level 1' }]);
    put('math/math_500.jsonl', [{ problem: 'Find $y$.', answer: '2', solution: '…' }]);
    expect(await promptsOf('task: math_500, num_fewshot: 1')).toEqual([
      'Problem:\nFind $x$.\n\nSolution: It is $\\boxed{1}$.\n\nProblem:\nFind $y$.\n\nSolution:',
    ]);
  });

  test('of ARC has right options, or statements of their letters', async () => {
    put('arc/arc_challenge_train.jsonl', [arc('Hot?', 'B'), arc('Cold?', 'A')]);
    put('arc/arc_challenge_test.jsonl', [arc('Warm?', 'B')]);
    expect(await promptsOf('task: arc_challenge, num_fewshot: 2')).toEqual([
      'Question: Hot?\nAnswer: fire\n\nQuestion: Cold?\nAnswer: ice\n\nQuestion: Warm?\nAnswer:',
    ]);
    const [prompt] = await promptsOf('task: arc_challenge_generative, num_fewshot: 1');
    expect(prompt).toMatch(
      /^Hot\?\nA\. ice\nB\. fire\n\nThink [^\n]* option\. The answer is B\.\n\nWarm\?\n/,
    );
  });

  test('of MMLU has the first examples of its own subject, below one line that names it', async () => {
    put('mmlu/dev.jsonl', [
      mmlu('world_religions', 'q1', 0),
      mmlu('anatomy', 'q2', 3),
      mmlu('anatomy', 'q3', 1),
      mmlu('anatomy', 'q4', 1),
    ]);
    put('mmlu/test.jsonl', [mmlu('anatomy', 'q5', 2)]);
    const options = 'A. 1\nB. 2\nC. 3\nD. 4\nAnswer:';
    expect(await promptsOf('task: mmlu, num_fewshot: 2')).toEqual([
      'The following are multiple choice questions (with answers) about anatomy.\n\n' +
        `q2\n${options} D\n\nq3\n${options} B\n\nq5\n${options}`,
    ]);
    await expect(promptsOf('task: mmlu, num_fewshot: 4')).rejects.toThrow(
      `line 1: num_fewshot is 4, but ${folder}/mmlu/dev.jsonl has 3 examples of anatomy`,
    );
  });

  test('that is itself one of the examples is refused: what is tested is never shown', async () => {
    put('other/gsm8k/test.jsonl', [
      { question: 'Four?', answer: '#### 4' },
      { question: 'One and one?', answer: '#### 2' },
    ]);
    const keys = `task: gsm8k, num_fewshot: 1, path: ${folder}/other, fewshot_path: ${folder}/gsm8k/train.jsonl`;
    await expect(readQuestions(setOf(keys), asked(false), () => null)).rejects.toThrow(
      `line 2: the question is one of the examples of num_fewshot, in ${folder}/gsm8k/train.jsonl`,
    );
  });

  test('is refused where nothing says where the examples are, and of a task without any', () => {
    const alone = setOf(`task: gsm8k, num_fewshot: 1, path: ${folder}/gsm8k/test.jsonl`);
    expect(() => shotsFileOf(alone)).toThrow('nothing says where the examples of num_fewshot are');
    expect(() => shotsFileOf({ ...alone, fewshot_path: 'none.jsonl' })).toThrow('there is no none.jsonl');
    expect(() => setOf('task: piqa, path: p, num_fewshot: 1')).toThrow(
      /num_fewshot: found 1, expected nothing.*task: arc_challenge or/s,
    );
  });
});
