import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../src/data/json.ts';
import { readChoices, type SetSettings } from '../../src/evaluation/read-set.ts';
import { type Asked, rightOption } from '../../src/evaluation/right-option.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

/** `json`: the answer as it stands in a file. */
function asked(json: string, options: readonly string[], more: Partial<Asked> = {}): Asked {
  return { answer: parseJson(json), options, labels: null, reading: null, ...more };
}

const words = ['red', 'blue', 'green', 'white'];
const abcd = ['A', 'B', 'C', 'D'];

describe('the right option', () => {
  test.each([
    // An integer is an index, whatever the options are.
    ['2', ['2', '4', '6', '8'], 2],
    ['1', ['1', '2', '3', '4'], 1],
    ['1', ['3', '2', '1', '0'], 1],
    ['0', ['1', '0', '3', '2'], 0],
    ['3', words, 3],
    // A text is an option.
    ['"green"', words, 2],
    ['"24"', ['8', '16', '24', '32'], 2],
    ['"-1"', ['1', '-1'], 1],
    ['"B"', abcd, 1],
    ['"4"', ['1', '2', '3', '4'], 3],
    ['"yes"', ['no', 'yes'], 1],
    ['"False"', ['True', 'False'], 1],
    ['"trophy"', ['trophy', 'case'], 0],
    // Of questions to be affirmed, as in BoolQ: what it says, not where it stands.
    ['true', ['no', 'yes'], 1],
    ['true', ['Yes', 'No'], 0],
    ['false', ['True', 'False'], 1],
    ['false', ['true', 'false', 'unknown'], 1],
  ])('of %s among %j stands at %i', (json, options, place) => {
    expect(rightOption(asked(json, options))).toBe(place);
  });

  test.each([
    [
      '"2"',
      ['1', '2', '3', '4'],
      /"2" is a text that may be an option, or the number \(from 0 or from 1\) of one/,
    ],
    ['"4"', ['2', '4', '6', '8'], /may be an option, or the number/],
    ['"2"', words, /"2" is a text that may be the number .* answer_is: index, index_from_1 or option/],
    ['"0"', words, /may be the number/],
    ['"B"', words, /may be the letter of one; say with columns.labels: \[A, B, C, D\]/],
    ['"b"', words, /may be the letter/],
    ['"A"', ['B', 'A'], /may be an option, or the letter/],
    ['4', words, /the answer is 4, not an index from 0 to 3/],
    ['-1', words, /the answer is -1, not an index/],
    ['-0', words, /the answer is -0, not an index \(a whole number\)/],
    ['1.0', words, /the answer is 1.0, not an index \(a whole number\), a label or an option/],
    ['1.5', words, /the answer is 1.5/],
    ['1e0', words, /the answer is 1e0/],
    ['12345678901234567891', words, /the answer is 12345678901234567891/],
    [
      'true',
      words,
      /the answer is true, and no option says true or yes; name the options with columns.labels/,
    ],
    ['true', ['no', 'No'], /no option says true or yes/],
    ['false', ['no', 'false'], /the answer is false, and several options say false or no/],
    ['"True"', ['no', 'yes'], /the answer is "True", not an index from 0 to 1 or one of the options/],
    ['"YES"', ['no', 'yes'], /the answer is "YES", not/],
    ['"t"', ['False', 'True'], /the answer is "t", not/],
    ['"1"', ['no', 'yes'], /"1" is a text that may be the number \(from 0 or from 1\)/],
    ['2', ['trophy', 'case'], /the answer is 2, not an index from 0 to 1/],
    ['null', words, /the answer is null/],
    ['[1]', words, /the answer is \[1\]/],
    ['"Red"', words, /the answer is "Red", not an index from 0 to 3 or one of the options/],
    ['""', words, /the answer is ""/],
  ])('is refused for %s among %j', (json, options, message) => {
    expect(() => rightOption(asked(json, options))).toThrow(message);
  });

  test.each([
    ['"C"', abcd, 2],
    ['"2"', ['1', '2', '3', '4'], 1],
    ['"2"', ['0', '1', '2', '3'], 2],
    ['2', abcd, 2],
    ['1', ['0', '1', '2', '3'], 1],
    ['"D"', ['A', 'B', 'C', 'D', 'E'], 3],
    ['true', ['false', 'true', 'neither', 'both'], 1],
  ])('of %s with labels %j stands at %i', (json, labels, place) => {
    expect(rightOption(asked(json, words, { labels }))).toBe(place);
  });

  test.each([
    ['"red"', abcd, /the answer is "red", not one of A, B, C, D/],
    ['"0"', abcd, /not one of A, B, C, D/],
    ['"E"', ['A', 'B', 'C', 'D', 'E'], /the answer is "E", not one of A, B, C, D$/],
    ['1', ['1', '2', '3', '4'], /1 is the index of one option and the label of another/],
    ['"A"', ['A', 'A', 'B', 'C'], /the label "A" stands twice/],
    ['"A"', ['A', 'B'], /2 labels for 4 options/],
    ['true', abcd, /the answer is true, not one of A, B, C, D/],
  ])('is refused for %s with labels %j', (json, labels, message) => {
    expect(() => rightOption(asked(json, words, { labels }))).toThrow(message);
  });

  test.each([
    ['"2"', 'index', 2],
    ['2', 'index', 2],
    ['2.0', 'index', 2],
    ['"2"', 'index_from_1', 1],
    ['1', 'index_from_1', 0],
    ['4', 'index_from_1', 3],
    ['"2"', 'option', 3],
    ['2', 'option', 3],
    ['2', 'label', 0],
    ['"3"', 'label', 1],
  ] as const)('of %s is what the set says, %s', (json, reading, place) => {
    const options = ['4', '3', '5', '2'];
    expect(rightOption(asked(json, options, { reading, labels: ['2', '3', '4', '5'] }))).toBe(place);
  });

  test.each([
    ['0', 'index_from_1', /not an index from 1 to 4/],
    ['-0', 'index', /not an index from 0 to 3/],
    ['5', 'index_from_1', /the answer is 5/],
    ['true', 'index', /the answer is true/],
    ['2', 'label', /columns.labels is not given/],
    ['"pink"', 'option', /not one of the options/],
  ] as const)('is refused for %s where the set says %s', (json, reading, message) => {
    expect(() => rightOption(asked(json, words, { reading }))).toThrow(message);
  });
});

const data = join(import.meta.dirname, '../../../shared/data');
const base: SetSettings = {
  name: 'set',
  task: null,
  path: '',
  lm_eval: null,
  num_fewshot: null,
  fewshot_path: null,
  metric: null,
  scorer: 'multiple_choice',
  command: null,
  module: null,
  scorer_inputs: [],
  columns: { prompt: null, answer: null, choices: null, labels: null },
  answer_is: null,
  as_chat: null,
  system_prompt: null,
  limit: null,
  max_new_tokens: 8,
  stop: [],
};
type Columns = Partial<SetSettings['columns']>;

function read(path: string, columns: Columns, more: Partial<SetSettings> = {}) {
  const set = { ...base, ...more, path, columns: { ...base.columns, ...columns } };
  return readChoices(set, { isChat: false, systemPrompt: null, cacheDirectory: temporaryDirectory() });
}

describe.skipIf(!existsSync(data))('the public sets as they are', () => {
  const labelled = {
    choices: 'choices.text',
    labels: 'choices.label',
    answer: 'answerKey',
    prompt: 'question',
  };
  type Row = Record<string, never> & { choices: { text: string[]; label: string[] }; answerKey: string };
  const byLabel = ({ choices, answerKey }: Row) => choices.text[choices.label.indexOf(answerKey)];
  const byIndex = (options: string, answer: string) => (row: Row) =>
    (row[options] as unknown as string[])[row[answer] as unknown as number];
  test.each([
    ['mmlu/test', { prompt: 'question' }, byIndex('choices', 'answer'), 5690],
    ['arc/arc_challenge_test', labelled, byLabel, 1172],
    ['arc/arc_easy_test', labelled, byLabel, 2376],
    ['commonsenseqa/validation', labelled, byLabel, 1221],
    [
      'hellaswag/validation_1000',
      { prompt: 'ctx', choices: 'endings', answer: 'label' },
      byIndex('endings', 'label'),
      1000,
    ],
    ['piqa/validation', { prompt: 'goal', answer: 'label' }, byIndex('choices', 'label'), 1838],
    ['openbookqa/test', { prompt: 'question', answer: 'label' }, byIndex('choices', 'label'), 500],
    [
      'winogrande/validation',
      { prompt: 'Which begins "… {continuation}"?', choices: 'options', answer: 'label' },
      byIndex('options', 'label'),
      1267,
    ],
    ['safetybench/test_en', { prompt: 'question' }, byIndex('choices', 'answer'), 996],
  ] as const)('%s: every right option', async (name, columns, right, count) => {
    const path = join(data, `${name}.jsonl`);
    const rows: Row[] = [];
    for await (const line of createInterface({ input: createReadStream(path) })) rows.push(JSON.parse(line));
    const found = await read(path, columns);
    expect(found).toHaveLength(count);
    expect(found.map(({ gold }) => gold)).toEqual(rows.map(row => right(row as Row)));
  });
});

describe('the forms in which the public sets are handed out elsewhere', () => {
  const rows = (...records: readonly unknown[]) =>
    temporaryFile('rows.jsonl', records.map(record => JSON.stringify(record)).join('\n'));

  test('HellaSwag: the label is a text, an index from 0', async () => {
    const path = rows({ ctx: 'c', endings: ['a', 'b', 'c', 'd'], label: '2' });
    const columns = { prompt: 'ctx', choices: 'endings', answer: 'label' };
    await expect(read(path, columns)).rejects.toThrow(
      /line 1: the answer "2" is a text that may be the number/,
    );
    expect(await read(path, columns, { answer_is: 'index' })).toMatchObject([{ right: 2 }]);
    expect(await read(path, { ...columns, labels: ['0', '1', '2', '3'] })).toMatchObject([{ right: 2 }]);
  });

  test('WinoGrande: two columns, the answer is a text that counts from 1', async () => {
    const row = {
      sentence: 'The trophy did not fit the case: the _ was big.',
      option1: 'trophy',
      option2: 'case',
      answer: '1',
    };
    const columns = { prompt: '{sentence}\nThe _ is the', choices: ['option1', 'option2'] };
    await expect(read(rows(row), columns)).rejects.toThrow('from 0 or from 1');
    const found = [
      ...(await read(rows(row), columns, { answer_is: 'index_from_1' })),
      ...(await read(rows({ ...row, answer: '2' }), { ...columns, labels: ['1', '2'] })),
    ];
    expect(found.map(({ gold }) => gold)).toEqual(['trophy', 'case']);
  });

  test('PIQA: two columns and an index', async () => {
    const path = rows({ goal: 'g', sol1: 'x', sol2: 'y', label: 1 });
    const found = await read(path, { prompt: 'goal', choices: ['sol1', 'sol2'], answer: 'label' });
    expect(found).toMatchObject([{ options: ['x', 'y'], gold: 'y' }]);
  });

  test('MMLU with letters, and ARC with labels that are numbers in some rows', async () => {
    const letters = rows({ question: 'q', choices: ['1', '2', '3', '4'], answer: 'C' });
    expect(await read(letters, { prompt: 'question', labels: abcd })).toMatchObject([{ gold: '3' }]);
    const path = rows(
      { question: 'q', choices: { text: words, label: abcd }, answerKey: 'B' },
      { question: 'r', choices: { text: words, label: ['1', '2', '3', '4'] }, answerKey: '4' },
    );
    const columns = {
      prompt: 'question',
      choices: 'choices.text',
      labels: 'choices.label',
      answer: 'answerKey',
    };
    expect((await read(path, columns)).map(({ right }) => right)).toEqual([1, 3]);
    await expect(
      read(rows({ question: 'q', choices: { text: words, label: ['A'] }, answerKey: 'A' }), columns),
    ).rejects.toThrow('choices.label has 1 labels for 4 options');
  });
});
