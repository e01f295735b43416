import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { tms } from '../support/command-line.ts';
import { writeFinishedRun } from '../support/run-fixture.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

describe('tms data show', () => {
  test('prints what a run would say and the loss mask, token by token, with the end of text', async () => {
    const directory = temporaryDirectory();
    const sum = { prompt: '1+1=', completion: '2' };
    const long = { prompt: 'say a\n', completion: 'a'.repeat(40) };
    const blank = { prompt: 'x', completion: ' ' };
    writeRecords(join(directory, 'train.jsonl'), [sum, long, sum, blank]);
    writeRecords(join(directory, 'test.jsonl'), [{ prompt: '3+4=', completion: '7' }]);
    const file = join(directory, 'my.yaml');
    const lines = [
      `model_name_or_path: ${await tinyModel()}`,
      `output_dir: ${join(directory, 'run')}`,
      'dataset_name: train.jsonl',
      'dataset_test_name: test.jsonl',
      'max_length: 12',
      'max_too_long_fraction: 1',
    ];
    writeFileSync(file, lines.join('\n'));
    const { status, stdout, stderr } = tms(['data', 'show', file], {
      cwd: directory,
      env: { TMS_PYTHON: await pythonPath() },
    });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain(
      'train.jsonl: prompt and completion as text; 3 examples, 1 dropped (empty completion), 1 repeated; digest ',
    );
    expect(stdout).toContain('3 training examples, 1 held out\n');
    expect(stdout).toContain('training examples: 1 longer than max_length\n');
    // Twice 4 + 2 tokens, and 12 of the 6 + 41 of the long one.
    expect(stdout).toContain(
      'training tokens: 24 (14 of prompts, 10 learned); the longest example has 47, max_length is 12\n',
    );
    expect(stdout).toMatch(
      /example [0-9a-f]{16} \(train, row 0\): 6 tokens, 4 of the prompt, 2 learned, ending in <\|im_end\|>\n {2}1\+1=\[2\]\[<\|im_end\|>\]\n/,
    );
    expect(stdout).toMatch(
      /\(train, row 1\): 12 tokens, 6 of the prompt, 6 learned; cut from 47, so its end is not learned\n {2}say a\\n\n {2}(\[a\]){6}\n/,
    );
    expect(stdout).not.toContain('\u001b');
    expect(existsSync(join(directory, 'run'))).toBe(false);
  });

  test.each(['data show', 'plan'])('%s refuses keys that these data give no effect', async command => {
    const directory = temporaryDirectory();
    writeRecords(join(directory, 'train.jsonl'), [{ prompt: '1+1=', completion: '2' }]);
    writeRecords(join(directory, 'set.jsonl'), [{ prompt: 'x', answer: 'y' }]);
    const lines = [
      `model_name_or_path: ${await tinyModel()}`,
      'output_dir: run',
      'dataset_name: train.jsonl',
      'test_size: 0',
      'max_length: 64',
      'system_prompt: You are a pirate.',
      'chat_template_kwargs: {enable_thinking: false}',
      'retention: {sets: [{name: a, path: set.jsonl, system_prompt: Be brief.}]}',
    ];
    writeFileSync(join(directory, 'my.yaml'), lines.join('\n'));
    const { status, stderr } = tms([...command.split(' '), 'my.yaml'], {
      cwd: directory,
      env: { TMS_PYTHON: await pythonPath() },
    });
    expect(status).toBe(3);
    expect(stderr).toContain('error: the configuration does not fit the data: 3 problems\n');
    for (const key of ['system_prompt', 'chat_template_kwargs', 'retention.sets.0.system_prompt'])
      expect(stderr).toContain(`  ${key}: found `);
    expect(existsSync(join(directory, 'run'))).toBe(false);
  });

  test('of a data file prints shape, counts and text without any Python', () => {
    const file = join(temporaryDirectory(), 'chat.jsonl');
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ];
    writeRecords(file, [{ messages }, { messages }]);
    const { status, stdout } = tms(['data', 'show', file, '-n', '1']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/chat\.jsonl: messages; 2 examples, 1 repeated; digest \w{12}\n/);
    expect(stdout).toMatch(/\n\n {2}user: Hi\n {2}assistant: Hello\n$/);
  });

  test.each([
    [['nowhere.yaml'], 'cannot read the configuration nowhere.yaml'],
    [['nowhere.jsonl'], 'cannot read the data file nowhere.jsonl'],
    [['nowhere.yaml', '--spilt', 'test'], 'Did you mean --split?'],
    [['x.jsonl', '--set', 'as_chat=true'], '--set mean nothing for the data file x.jsonl'],
  ])('%j is refused with 3', (args, message) => {
    const { status, stdout, stderr } = tms(['data', 'show', ...args]);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toContain(message);
  });
});

describe('tms generate', () => {
  test('answers each line of standard input by itself: the same prompt and seed, the same answer', async () => {
    const args = ['--json', '-n', '2', '--seed', '7', '--max-new-tokens', '120'];
    const { status, stdout, stderr } = tms(['generate', await tinyModel(), ...args], {
      env: { TMS_PYTHON: await pythonPath() },
      input: 'hi\n\nyou\nhi\n',
    });
    expect([status, stderr]).toEqual([0, '']);
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(answers.map(({ prompt, seed }) => [prompt, seed])).toEqual([
      ['hi', 7],
      ['hi', 8],
      ['you', 7],
      ['you', 8],
      ['hi', 7],
      ['hi', 8],
    ]);
    expect(answers.slice(4)).toEqual(answers.slice(0, 2));
    expect(answers[0].answer).not.toBe(answers[1].answer);
    // The template adds 19 tokens to a prompt, and the model has 128 positions.
    for (const { prompt, tokens, finishReason, answer } of answers) {
      if (finishReason === 'length') expect(tokens).toBe(128 - 19 - prompt.length);
      else expect(answer).not.toContain('<|im_end|>');
    }
  });

  test('ends an answer before a stop text', { timeout: 300_000 }, async () => {
    const args = ['generate', await tinyModel(), '--json', '--seed', '8', '--max-new-tokens', '12'];
    const env = { TMS_PYTHON: await pythonPath() };
    const { answer } = JSON.parse(tms([...args, 'hi'], { env }).stdout);
    const stopped = JSON.parse(
      tms([...args, '--stop', answer.slice(4, 6), '--stop', '\\n', 'hi'], { env }).stdout,
    );
    expect(stopped.answer).toBe(answer.split('\n')[0].split(answer.slice(4, 6))[0]);
    expect(stopped.finishReason).toBe('stop_text');
  });

  test.each([
    [['/nowhere/model', 'hi'], 'there is no model at /nowhere/model'],
    [['/', '-n', '0', 'hi'], 'It must be a whole number from 1 to 1000.'],
    [['/', '--file', 'nowhere.txt'], 'cannot read the prompts nowhere.txt'],
    [['/'], 'there is no prompt in standard input'],
    [['/', 'hi', '--temprature', '0'], 'Did you mean --temperature?'],
  ])('%j is refused with 3', (args, message) => {
    const { status, stdout, stderr } = tms(['generate', ...args]);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toContain(message);
  });

  test('names the model of a run directory', () => {
    const run = temporaryDirectory();
    writeFinishedRun(run);
    mkdirSync(join(run, 'models', 'student'), { recursive: true });
    const { status, stderr } = tms(['generate', run, 'hi']);
    expect(status).toBe(3);
    expect(stderr).toContain(`fix: npx tms generate ${join(run, 'models', 'student')}\n`);
  });
});

describe('tms plan', () => {
  test('says how small a loss the retention sets can show', async () => {
    const directory = temporaryDirectory();
    const items = Array.from({ length: 64 }, (_, i) => ({ prompt: `${i}=`, answer: String(i) }));
    writeRecords(join(directory, 'train.jsonl'), [
      { prompt: '1+1=', completion: '2' },
      { prompt: '1+2=', completion: '3' },
    ]);
    writeRecords(join(directory, 'numbers.jsonl'), items);
    writeRecords(join(directory, 'few.jsonl'), items.slice(0, 3));
    const file = join(directory, 'my.yaml');
    const lines = [
      `model_name_or_path: ${await tinyModel()}`,
      `output_dir: ${join(directory, 'run')}`,
      'dataset_name: train.jsonl',
      'test_size: 1',
      'max_length: 12',
      'num_train_epochs: 30',
      'tms: { num_checkpoints: 2 }',
      'retention: { margin: 0.05, sets: [',
      '  { name: numbers, path: numbers.jsonl, max_new_tokens: 4 },',
      '  { name: few, path: few.jsonl, max_new_tokens: 4 } ] }',
    ];
    writeFileSync(file, lines.join('\n'));
    const { status, stdout } = tms(['plan', file], {
      cwd: directory,
      env: { TMS_PYTHON: await pythonPath() },
    });
    expect(status).toBe(0);
    expect(stdout).toContain(
      'retention numbers: 64 items can show a loss of 8.4 points or more\n          few: 3 items can show no loss\n',
    );
    expect(stdout).toContain('note: a margin of 5 points (retention.margin) needs about ');
  }, 600_000);
});

describe('tms report and tms compare', () => {
  test('report writes the files again and prints the table and their paths', () => {
    const run = temporaryDirectory();
    writeFinishedRun(run);
    rmSync(join(run, 'report.html'), { force: true });
    const { status, stdout } = tms(['report', run]);
    expect(status).toBe(0);
    expect(stdout).toContain(`report  ${join(run, 'report.html')}\n        ${join(run, 'report.md')}\n`);
    expect(readFileSync(join(run, 'report.html'), 'utf8')).toContain('</html>');
  });

  test('compare prints runs side by side, as text or Markdown', () => {
    const runs = [temporaryDirectory(), temporaryDirectory()];
    for (const run of runs) writeFinishedRun(run);
    const plain = tms(['compare', ...runs]);
    expect(plain.status).toBe(0);
    expect(plain.stdout).toMatch(/^A {2}.*\nB {2}/);
    expect(tms(['compare', '--markdown', ...runs]).stdout).toMatch(/^- A: .*\n- B: /);
  });

  test('a directory without a run, and one run alone, are refused with 3', () => {
    const run = temporaryDirectory();
    expect(tms(['report', join(run, 'nowhere')])).toMatchObject({
      status: 3,
      stderr: `error: ${join(run, 'nowhere')} does not exist\n  fix: name the output_dir of a run\n`,
    });
    expect(tms(['report', run]).stderr).toContain(`${run} holds no run: there is no run.json in it`);
    writeFinishedRun(run);
    expect(tms(['compare', run])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('a comparison needs at least two runs'),
    });
  });
});

function writeRecords(file: string, records: readonly unknown[]): void {
  writeFileSync(file, records.map(record => `${JSON.stringify(record)}\n`).join(''));
}
