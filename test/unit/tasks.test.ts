import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { grade } from '../../src/api/grade.ts';
import { parseConfig } from '../../src/config/load.ts';
import type { EvaluationSet } from '../../src/config/set-settings.ts';
import { ColumnError } from '../../src/data/template.ts';
import { UsageError } from '../../src/errors.ts';
import { fileOf } from '../../src/evaluation/read-set.ts';
import { countdownRows } from '../../src/tasks/countdown.ts';
import { hubPath, hubSourceOf, taskNames, tasks } from '../../src/tasks/index.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const data = join(import.meta.dirname, '../../../shared/data');
const config = (sets: string) =>
  parseConfig(
    `model_name_or_path: m\noutput_dir: o\ndataset_name: d.jsonl\neval:\n  sets:\n${sets}`,
    'my.yaml',
  );

function refusalOf(call: () => unknown): object {
  try {
    call();
  } catch (error) {
    return error instanceof UsageError ? { message: error.message, fix: error.fix } : { error };
  }
  return {};
}

describe('a set of a task', () => {
  test('takes from it what its author does not say', () => {
    const [set] = config('    - { task: gsm8k, path: data, limit: 5, max_new_tokens: 99 }').eval.sets;
    expect(set).toMatchObject({
      task: 'gsm8k',
      name: 'gsm8k',
      path: 'data',
      scorer: 'gsm8k',
      limit: 5,
      max_new_tokens: 99,
    });
  });

  test('is found where the name is misspelt', () => {
    expect(() => config('    - { task: helaswag, path: data, name: a }')).toThrow(
      'eval.sets.0.task: found "helaswag", expected one of arc_challenge',
    );
    expect(() => config('    - { task: helaswag, path: data, name: a }')).toThrow('did you mean hellaswag?');
  });

  test('is refused with the file that it needs where its data are not there', () => {
    const folder = temporaryDirectory();
    const [inFolder, nowhere, hub] = [folder, join(folder, 'none'), 'hub:openai/gsm8k/main@test'].map(
      path => config(`    - { task: gsm8k, path: ${JSON.stringify(path)} }`).eval.sets[0] as EvaluationSet,
    );
    const found = [inFolder, nowhere, hub].map(set => refusalOf(() => fileOf(set as EvaluationSet)));
    const fix = 'give path: a file of the task, or a folder that has gsm8k/test.jsonl';
    expect(found).toEqual([
      { message: `evaluation set gsm8k: there is no file or folder ${folder}/gsm8k/test.jsonl`, fix },
      { message: `evaluation set gsm8k: there is no file or folder ${folder}/none`, fix },
      { message: 'evaluation set gsm8k: hub:openai/gsm8k/main@test is not on this machine', fix },
    ]);
  });

  test('has the scorer and the columns of its task, and no others', () => {
    expect(() => config('    - { task: gsm8k, path: data, scorer: exact_match }')).toThrow(
      'eval.sets.0.scorer: found "exact_match", expected nothing, because task is given (gsm8k)',
    );
    expect(() => config('    - { task: gsm8k, path: data, columns: { prompt: question } }')).toThrow(
      'eval.sets.0.columns',
    );
  });
});

describe('rows', () => {
  const rowsOf = (name: keyof typeof tasks, record: Record<string, unknown>) => tasks[name].rows(record);

  test('of HellaSwag are cleaned as lm-eval does', () => {
    const row = {
      activity_label: 'Dyeing hair',
      ctx_a: '[header] How to dye [title] Lighten  it.',
      ctx_b: 'the Person',
      endings: ['[title] Buy dye. [step] Use it.', 'b', 'c', 'd'],
      label: '2',
    };
    // As lm_eval/tasks/hellaswag/utils.py of 0.4.13 gives them.
    expect(rowsOf('hellaswag', row)).toEqual([
      {
        prompt: 'Dyeing hair: How to dye. Lighten it. The person',
        choices: [' Buy dye. Use it.', 'b', 'c', 'd'],
        answer: 2,
      },
    ]);
  });

  test('of WinoGrande score the rest of the sentence behind each name', () => {
    const hub = { sentence: 'Ann met Eve because _ was late.', option1: 'Ann', option2: 'Eve', answer: '2' };
    const local = {
      options: ['Ann met Eve because Ann', 'Ann met Eve because Eve'],
      continuation: 'was late.',
      label: 1,
    };
    const expected = {
      prompt: 'Ann met Eve because Ann',
      contexts: ['Ann met Eve because Ann', 'Ann met Eve because Eve'],
      choices: ['was late.', 'was late.'],
      answer: 1,
    };
    expect(rowsOf('winogrande', hub)).toEqual([expected]);
    expect(rowsOf('winogrande', local)).toEqual([expected]);
  });

  test('of ARC find the right option by its label, be it a letter or a digit', () => {
    const row = {
      question: 'Q?',
      choices: { text: ['x', 'y', 'z'], label: ['1', '2', '3'] },
      answerKey: '3',
    };
    expect(rowsOf('arc_challenge', row)).toEqual([
      { prompt: 'Question: Q?\nAnswer:', choices: ['x', 'y', 'z'], answer: 2 },
    ]);
    expect(rowsOf('arc_challenge_generative', row)).toMatchObject([
      { answer: 'C', options: ['x', 'y', 'z'] },
    ]);
    expect(() => rowsOf('arc_easy', { ...row, answerKey: 'D' })).toThrow(ColumnError);
  });

  test('of MMLU are those of lm-eval without shots', () => {
    const row = { subject: 'college_physics', question: ' Q? ', choices: ['a', 'b', 'c', 'd'], answer: 1 };
    expect(rowsOf('mmlu', row)).toEqual([
      {
        prompt:
          'The following are multiple choice questions (with answers) about college physics.\n\nQ?\nA. a\nB. b\nC. c\nD. d\nAnswer:',
        choices: ['A', 'B', 'C', 'D'],
        answer: 1,
      },
    ]);
  });

  test('of TriviaQA have the same aliases from the hub and from a file', () => {
    const file = rowsOf('triviaqa', { question: 'Q', answer: 'Tonsils', aliases: ['Tonsil', 'Tonsils'] });
    const hub = rowsOf('triviaqa', {
      question: 'Q',
      answer: { value: 'Tonsils', aliases: ['Tonsil', 'Tonsils'] },
    });
    expect(file).toEqual(hub);
    expect(file).toMatchObject([{ answer: 'Tonsils', aliases: ['Tonsils', 'Tonsil'] }]);
  });

  test('of HotpotQA join the sentences of each paragraph, in both layouts', () => {
    const rest = { question: 'Who?', answer: 'Ann' };
    const file = rowsOf('hotpotqa', { ...rest, context: [['T', ['One.', ' Two.']]] });
    const hub = rowsOf('hotpotqa', { ...rest, context: { title: ['T'], sentences: [['One.', ' Two.']] } });
    expect(file).toEqual(hub);
    expect(file[0]?.prompt).toMatch(/^T: One\. Two\.\n\nQuestion: Who\?\n/);
  });

  test('of ToolAlpaca are a question for each request of an API', () => {
    const row = {
      NLDocumentation: 'f: does\nParameters: {}',
      Instructions: ['one', 'two'],
      Golden_Answers: [[{ Action: 'f', Action_Input: '{}' }], []],
    };
    expect(rowsOf('toolalpaca', row).map(({ calls }) => calls)).toEqual([[{ action: 'f', input: '{}' }], []]);
  });

  test.for(taskNames)('%s reads the first 500 rows of its file', (name, { skip }) => {
    const file = join(data, tasks[name].file);
    skip(!existsSync(file), 'the data are not beside the project');
    const text = readFileSync(file, 'utf8');
    const records: Record<string, unknown>[] = file.endsWith('.json')
      ? JSON.parse(text)
      : text
          .trimEnd()
          .split('\n')
          .slice(0, 500)
          .map(line => JSON.parse(line));
    const rows = records.flatMap(record => tasks[name].rows(record));
    expect(rows.length).toBeGreaterThanOrEqual(100);
    for (const { prompt, choices, answer } of rows) {
      expect(prompt).not.toMatch(/undefined|\[object/);
      if (choices) expect(choices[answer as number]).toBeTypeOf('string');
    }
  });
});

test('a place on the hub is told from a file', () => {
  const source = { path: 'openai/gsm8k', name: 'main', split: 'test' };
  expect(hubPath(source)).toBe('hub:openai/gsm8k/main@test');
  expect(hubSourceOf('hub:openai/gsm8k/main@test')).toEqual(source);
  expect(hubSourceOf('data/gsm8k/test.jsonl')).toBeNull();
});

test('problems of Countdown are different, stay the same, and their solutions are right', async () => {
  const rows = countdownRows(400, 0);
  expect(rows.slice(0, 50)).toEqual(countdownRows(50, 0));
  expect(countdownRows(1, 1)).not.toEqual(rows.slice(0, 1));
  expect(new Set(rows.map(({ nums, target }) => `${[...nums].sort().join()} ${target}`)).size).toBe(400);
  const answers = rows.map(({ completion, ...row }) => ({ ...row, response: completion }));
  expect((await grade('countdown', answers)).means).toEqual({ accuracy: 1 });
  const others = rows.map((row, i) => ({ ...row, response: rows[(i + 1) % 400]?.completion }));
  expect((await grade('countdown', others)).means.accuracy).toBeLessThan(0.05);
  for (const { nums, target } of rows) {
    expect([3, 4]).toContain(nums.length);
    expect(target).toBeGreaterThanOrEqual(10);
    expect(target).toBeLessThanOrEqual(999);
  }
});

test('problems of Countdown are as hard as is asked, and only as many as there are', () => {
  const small = countdownRows(300, 0, { counts: [2, 3], below: 20 });
  expect(new Set(small.map(({ nums }) => nums.length))).toEqual(new Set([2, 3]));
  expect(Math.max(...small.flatMap(({ nums }) => nums))).toBe(19);
  // two numbers from 1 to 4 come to 10 or more in two ways only: 4 * 4 and 3 * 4
  const two = { counts: [2], below: 5 };
  expect(new Set(countdownRows(2, 0, two).map(({ target }) => target))).toEqual(new Set([16, 12]));
  expect(() => countdownRows(3, 0, two)).toThrow(
    '3 problems are more than there are different ones: 2 were found',
  );
});
