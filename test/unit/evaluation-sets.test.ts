import { describe, expect, test } from 'vitest';
import {
  chooseByHash,
  readChoices,
  readQuestions,
  type SetPlace,
  type SetSettings,
} from '../../src/evaluation/read-set.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const nothingWrong = () => null;
const noColumns = { prompt: null, answer: null, choices: null, labels: null };

function setOf(records: readonly unknown[], changes: Partial<SetSettings> = {}): SetSettings {
  const lines = records.map(record => (typeof record === 'string' ? record : JSON.stringify(record)));
  const path = temporaryFile('set.jsonl', `${lines.join('\n')}\n`);
  return {
    name: 'set',
    task: null,
    path,
    lm_eval: null,
    num_fewshot: null,
    fewshot_path: null,
    metric: null,
    scorer: 'exact_match',
    command: null,
    module: null,
    scorer_inputs: [],
    columns: noColumns,
    answer_is: null,
    as_chat: null,
    system_prompt: null,
    limit: null,
    max_new_tokens: 8,
    stop: [],
    ...changes,
  };
}

function place(changes: Partial<SetPlace> = {}): SetPlace {
  return { isChat: false, systemPrompt: null, cacheDirectory: temporaryDirectory(), ...changes };
}

describe('questions', () => {
  test('are prompt with answer, else with completion', async () => {
    const set = setOf([
      { prompt: '2+3=', answer: 5 },
      { prompt: 'Cab=', completion: 'ab' },
    ]);
    const questions = await readQuestions(set, place(), nothingWrong);
    expect(questions.map(({ prompt, gold }) => [prompt, gold])).toEqual([
      ['2+3=', '5'],
      ['Cab=', 'ab'],
    ]);
  });

  test('come from named columns and templates, as chats where asked', async () => {
    const columns = { ...noColumns, prompt: 'Q: {q.text}', answer: 'gold' };
    const set = setOf([{ q: { text: 'who?' }, gold: 'me', prompt: 'other' }], { columns });
    const [question] = await readQuestions(
      set,
      place({ isChat: true, systemPrompt: 'Be brief.' }),
      nothingWrong,
    );
    expect(question?.prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Q: who?' },
    ]);
    expect(question?.gold).toBe('me');
  });

  test('are read from messages whose last one is the gold', async () => {
    const messages = [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'hello' },
    ];
    const [question] = await readQuestions(setOf([{ messages }]), place(), nothingWrong);
    expect(question).toMatchObject({ prompt: [messages[0]], gold: 'hello' });
  });

  test('keep their ids when only the way of asking changes', async () => {
    const record = { prompt: 'a', answer: 'b' };
    const text = await readQuestions(setOf([record]), place(), nothingWrong);
    const columns = { ...noColumns, prompt: '{prompt}?' };
    const chat = await readQuestions(setOf([record], { columns }), place({ isChat: true }), nothingWrong);
    const other = await readQuestions(setOf([{ prompt: 'a', answer: 'c' }]), place(), nothingWrong);
    expect(chat[0]?.id).toBe(text[0]?.id);
    expect(other[0]?.id).not.toBe(text[0]?.id);
  });

  test('have references with the digits of the file, and an answer that is null has none', async () => {
    const lines = ['3.50', '1.0', '1e5', '-0', '12345678901234567891', 'true', 'null'];
    const set = setOf(lines.map(answer => `{"prompt": "p", "completion": "c", "answer": ${answer}}`));
    const questions = await readQuestions(set, place(), nothingWrong);
    expect(questions.map(({ gold }) => gold)).toEqual([...lines.slice(0, -1), null]);
  });

  test('that differ in the digits of a number alone have different ids', async () => {
    const set = setOf(
      ['3.50', '3.5', '9007199254740993', '9007199254740992'].map(n => `{"prompt":"p","n":${n}}`),
    );
    const questions = await readQuestions(set, place(), nothingWrong);
    expect(new Set(questions.map(({ id }) => id)).size).toBe(4);
  });

  test('that cannot be read or scored are listed by line, all at once', async () => {
    const set = setOf([
      { prompt: 'a', answer: '1' },
      '{"prompt": ',
      { question: 'b' },
      { prompt: 'c', answer: ['x'] },
      { prompt: 'd', answer: 'none' },
    ]);
    const reading = readQuestions(set, place(), ({ gold }) =>
      gold === 'none' ? 'no number in the gold answer' : null,
    );
    await expect(reading).rejects.toThrow(
      /4 lines are wrong\n {2}line 2: broken JSON.*\n {2}line 3: no column "prompt".*\n {2}line 4: the answer is \["x"\].*\n {2}line 5: no number/,
    );
  });

  test('of an empty file are refused', async () => {
    await expect(readQuestions(setOf(['']), place(), nothingWrong)).rejects.toThrow('nothing to ask');
  });
});

describe('choices', () => {
  const columns = {
    prompt: 'question',
    answer: 'answerKey',
    choices: 'choices.text',
    labels: 'choices.label',
  };

  test('find the answer among labels inside a column', async () => {
    const choices = { text: ['red', 'green', 'blue'], label: ['1', '2', '3'] };
    const set = setOf([{ question: 'sky?', choices, answerKey: '3' }], { columns });
    const [choice] = await readChoices(set, place());
    expect(choice).toMatchObject({
      prompt: 'sky?',
      options: ['red', 'green', 'blue'],
      right: 2,
      gold: 'blue',
    });
  });

  test('take an index from 0 or the text of an option where there are no labels', async () => {
    const records = [1, 'green', 'red'].map(answer => ({ prompt: 'p', choices: ['red', 'green'], answer }));
    const choices = await readChoices(setOf(records), place());
    expect(choices.map(({ right }) => right)).toEqual([1, 1, 0]);
  });

  test('may be numbers, or columns of their own, as the file writes them', async () => {
    const rows = ['{"prompt": "p", "choices": [1, 3.50, 2.0], "answer": 1}'];
    const [numbers] = await readChoices(setOf(rows), place());
    expect(numbers).toMatchObject({ options: ['1', '3.50', '2.0'], right: 1, gold: '3.50' });
    const columns = { ...noColumns, choices: ['sol1', 'so {sol2}'] };
    const [own] = await readChoices(
      setOf([{ prompt: 'p', sol1: 'a', sol2: 'b', answer: 1 }], { columns }),
      place(),
    );
    expect(own).toMatchObject({ options: ['a', 'so b'], right: 1 });
  });

  test('with an answer that is none of them are refused', async () => {
    const records = [
      { prompt: 'p', choices: ['red', 'green'], answer: 2 },
      { prompt: 'p', choices: ['red'], answer: 0 },
      { prompt: 'p', choices: ['red', 'green'], answer: '' },
    ];
    await expect(readChoices(setOf(records), place())).rejects.toThrow(
      /line 1: the answer is 2, not an index from 0 to 1\n {2}line 2: choices is not a list of at least two texts\n {2}line 3: the answer is ""/,
    );
    const labelled = { question: 'q', choices: { text: ['x', 'y'], label: ['A', 'B'] }, answerKey: '0' };
    await expect(readChoices(setOf([labelled], { columns }), place())).rejects.toThrow('not one of A, B');
  });
});

describe('a limit', () => {
  test('takes the smallest hashes in the order of the file, and more of it contain fewer', () => {
    const values = ['d', 'a', 'c', 'b', 'a'].map(id => ({ id }));
    expect(chooseByHash(values, 3)).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'a' }]);
    expect(chooseByHash(values, 4)).toEqual([{ id: 'a' }, { id: 'c' }, { id: 'b' }, { id: 'a' }]);
    expect(chooseByHash(values, null)).toEqual(values);
    expect(chooseByHash(values, 9)).toEqual(values);
  });

  test('chooses the same questions wherever they stand in the file', async () => {
    const records = Array.from({ length: 20 }, (_, i) => ({ prompt: `p${i}`, answer: 'x' }));
    const read = async (rows: readonly unknown[]) =>
      (await readQuestions(setOf(rows, { limit: 5 }), place(), nothingWrong)).map(({ id }) => id).sort();
    expect(await read([...records].reverse())).toEqual(await read(records));
  });
});
