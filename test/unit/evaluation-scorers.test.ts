import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { goldAnswer, isSolution, promptOf } from '../../lab/countdown.ts';
import { targetProblems } from '../../lab/tasks.ts';
import type { EvaluationSet } from '../../src/config/set-settings.ts';
import { parseJson } from '../../src/data/json.ts';
import { randomAt } from '../../src/data/random.ts';
import type { DataRecord } from '../../src/data/template.ts';
import { commandScorer } from '../../src/evaluation/command-scorer.ts';
import { moduleScorer } from '../../src/evaluation/module-scorer.ts';
import { type AnsweredQuestion, isRight, scoresOf } from '../../src/evaluation/scorer.ts';
import { makeScorer } from '../../src/evaluation/scorers.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

const countdown = 'configs/lab/scorers/countdown.mjs';

function answered(prompt: string, gold: string | null, text: string, isFinished = true): AnsweredQuestion {
  return {
    question: { id: `id of ${prompt}`, line: 1, prompt, gold, record: {} },
    answer: { text, isFinished },
  };
}

function builtIn(scorer: EvaluationSet['scorer']) {
  const columns = { prompt: null, answer: null, choices: null, labels: null };
  const settings = {
    name: 's',
    path: 's.jsonl',
    scorer,
    command: null,
    module: null,
    scorer_inputs: [],
    columns,
  };
  return makeScorer(settings);
}

describe('exact_match', () => {
  test('takes the whole answer, white space around it aside, and only a finished one', async () => {
    const scorer = await builtIn('exact_match');
    const answers = [
      answered('a', 'x y', ' x y\n'),
      answered('b', 'x y', 'x  y'),
      answered('c', 'x y', 'x y.'),
      answered('d', 'x y', 'x y', false),
    ];
    expect(await scoresOf(scorer, answers)).toEqual([1, 0, 0, 0]);
  });

  test('refuses a question without a gold', async () => {
    const { problemOf } = await builtIn('exact_match');
    expect(problemOf(answered('a', null, '').question)).toBe('no gold answer to compare with');
  });
});

describe('gsm8k', () => {
  test('compares final numbers by value', async () => {
    const scorer = await builtIn('gsm8k');
    const gold = '2 * 500 = <<2*500=1000>>1000\n#### 1,000';
    const answers = [
      answered('a', gold, 'So it is $1000.00.'),
      answered('b', gold, '#### 100'),
      answered('c', gold, 'I do not know.'),
      answered('d', gold, '#### 1000 and', false),
    ];
    expect(await scoresOf(scorer, answers)).toEqual([1, 0, 0, 1]);
  });

  test('refuses a gold without a number', async () => {
    const { problemOf } = await builtIn('gsm8k');
    expect(problemOf(answered('a', 'none', '').question)).toBe('no number in the gold answer');
  });
});

describe('a command', () => {
  const answers = [answered('a', '1', 'one'), answered('b', '22', 'other', false)] as const;
  const program = (source: string) => [process.execPath, temporaryFile('scorer.mjs', source)];

  test('reads a JSON line an answer and writes a score a line', async () => {
    const command = program(`
      import { createInterface } from 'node:readline';
      for await (const line of createInterface({ input: process.stdin })) {
        const { id, prompt, gold, record, answer, is_finished } = JSON.parse(line);
        const all = [id, prompt, gold, record, answer, is_finished].every(value => value !== undefined);
        console.log(all && is_finished ? gold.length / 4 : 0);
      }`);
    expect(await scoresOf(commandScorer(command), answers)).toEqual([0.25, 0]);
  });

  test('that fails is quoted', async () => {
    const command = program(`console.error('first'); console.error('no such grader'); process.exit(3);`);
    await expect(scoresOf(commandScorer(command), answers)).rejects.toThrow(
      /ended with code 3; it wrote:\n {2}first\n {2}no such grader$/,
    );
  });

  test('is given the record with the digits of the file', async () => {
    const seen = temporaryFile('seen.txt', '');
    const command = program(`
      import { readFileSync, writeFileSync } from 'node:fs';
      writeFileSync(${JSON.stringify(seen)}, readFileSync(0, 'utf8'));
      console.log(1);`);
    const record = parseJson('{"price": 3.50, "sku": 12345678901234567891}') as DataRecord;
    const [one] = answers;
    await scoresOf(commandScorer(command), [{ ...one, question: { ...one.question, record } }]);
    expect(readFileSync(seen, 'utf8')).toContain('"record":{"price":3.50,"sku":12345678901234567891}');
  });

  test('that leaves answers out is refused', async () => {
    const command = program(`console.log(1);`);
    await expect(scoresOf(commandScorer(command), answers)).rejects.toThrow('wrote 1 lines for 2 answers');
  });

  test.each(['1.5', 'yes'])('that writes %j is refused', async written => {
    const command = program(`console.log(0); console.log('${written}');`);
    await expect(scoresOf(commandScorer(command), answers)).rejects.toThrow(
      `wrote "${written}" in line 2, for id of b`,
    );
  });

  test('that takes too long is ended', async () => {
    const command = program(`setInterval(() => {}, 1000);`);
    await expect(scoresOf(commandScorer(command, { timeoutSeconds: 0.3 }), answers)).rejects.toThrow(
      'was ended by SIGKILL (its time limit is 0.3 s)',
    );
  });

  test('is ended by an interrupt', async () => {
    const controller = new AbortController();
    const scoring = scoresOf(
      commandScorer(program(`setInterval(() => {}, 1000);`)),
      answers,
      controller.signal,
    );
    controller.abort(new Error('stop it'));
    await expect(scoring).rejects.toThrow('stop it');
  });

  test('that does not exist is named', async () => {
    await expect(scoresOf(commandScorer(['no-such-program', '-x']), answers)).rejects.toThrow(
      'the scorer `no-such-program -x` cannot be started',
    );
  });

  test('has another key when its file changes', () => {
    const file = temporaryFile('scorer.py', 'print(0)');
    const before = commandScorer(['python3', file]).key;
    expect(commandScorer(['python3', file]).key).toBe(before);
    expect(commandScorer(['python3', temporaryFile('scorer.py', 'print(0)')]).key).not.toBe(before);
    expect(commandScorer(['python3', file, '-v']).key).not.toBe(before);
  });
});

describe('a module', () => {
  test('gives numbers, booleans or promises of them', async () => {
    const file = temporaryFile(
      'mine.mjs',
      `export const version = 7;
       export const score = (question, answer, { isFinished }) =>
         question.id.endsWith('a') ? Promise.resolve(0.5) : answer === question.gold && isFinished;`,
    );
    const scorer = await moduleScorer(file);
    expect(scorer).toMatchObject({ name: 'module:mine.mjs', version: 7 });
    const answers = [answered('a', '', ''), answered('b', 'x', 'x'), answered('b', 'x', 'x', false)];
    expect(await scoresOf(scorer, answers)).toEqual([0.5, 1, 0]);
    expect([0.5, 1, 0.49].map(isRight)).toEqual([true, true, false]);
  });

  test('is given a record of plain JavaScript values', async () => {
    const file = temporaryFile(
      'price.mjs',
      `export const score = ({ record }) => record.price === 3.5 && record.list[0] === 1;`,
    );
    const record = parseJson('{"price": 3.50, "list": [1.0]}') as DataRecord;
    const one = answered('a', null, '');
    const scorer = await moduleScorer(file);
    expect(await scoresOf(scorer, [{ ...one, question: { ...one.question, record } }])).toEqual([1]);
  });

  test('that is missing or exports no score is refused before the run', async () => {
    await expect(moduleScorer('no/such/file.mjs')).rejects.toThrow(
      'the scorer no/such/file.mjs cannot be loaded',
    );
    const file = temporaryFile('mine.mjs', 'export const scores = 1;');
    await expect(moduleScorer(file)).rejects.toThrow('exports no function score');
  });

  test('that throws or returns something else is named with the question', async () => {
    const throwing = await moduleScorer(
      temporaryFile('throwing.mjs', `export function score() { throw new Error('oops'); }`),
    );
    await expect(scoresOf(throwing, [answered('a', null, '')])).rejects.toThrow('failed on id of a: oops');
    const wrong = await moduleScorer(temporaryFile('wrong.mjs', `export const score = () => 'right';`));
    await expect(scoresOf(wrong, [answered('a', null, '')])).rejects.toThrow('returned "right" for id of a');
  });
});

describe('the scorer of the lab', () => {
  test.each([
    ['+8-7+6+3', true, 1],
    ['+3+6-7+8', true, 1],
    ['+3+6-7+8#abcd', true, 1],
    ['+3+6-7+8', false, 0],
    ['+3+6+7-8', true, 0],
    ['+8+2', true, 0],
    ['3+6-7+8', true, 0],
    ['', true, 0],
  ])('says of %j, finished: %j', async (text, isFinished, expected) => {
    const scorer = await moduleScorer(countdown);
    expect(await scoresOf(scorer, [answered('D6387>10=', null, text, isFinished)])).toEqual([expected]);
  });

  test('agrees with the lab on gold, and on the gold of other problems', async () => {
    const scorer = await moduleScorer(countdown);
    const problems = targetProblems().slice(0, 50);
    const golds = problems.map((problem, i) => goldAnswer(randomAt(1, 'gold', i), problem, i % 2 === 0));
    const pairs = problems.flatMap(problem => golds.map(gold => [promptOf(problem), gold] as const));
    const expected = pairs.map(([prompt, gold]) => Number(isSolution(prompt, gold)));
    expect(
      await scoresOf(
        scorer,
        pairs.map(([prompt, gold]) => answered(prompt, null, gold)),
      ),
    ).toEqual(expected);
    expect(expected.filter(Boolean).length).toBeGreaterThanOrEqual(50);
  });
});
