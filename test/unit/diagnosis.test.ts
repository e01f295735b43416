import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findContamination } from '../../src/cli/data-overlaps.ts';
import { parseConfig } from '../../src/config/load.ts';
import { openDataset } from '../../src/data/dataset.ts';
import { type Diagnosis, diagnose, findings } from '../../src/data/diagnosis.ts';
import { TokenFile, TokenFileWriter } from '../../src/data/token-file.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const end = 2;
/** A prompt and an answer of so many tokens; the loss counts the answer, whose last id is `last`. */
function row(prompt: number, answer: number, { last = end, isLearned = true } = {}) {
  const ids = new Int32Array(prompt + answer).fill(9);
  ids[ids.length - 1] = last;
  return {
    ids,
    promptLength: prompt,
    learned: Uint8Array.from(ids, (_, i) => Number(isLearned && i >= prompt)),
  };
}

const options = {
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
  duplicates: 'keep' as const,
  test_size: 0,
  max_train_samples: null,
  max_test_samples: null,
  seed: 42,
  data_seed: null,
};
const lines = (...records: [string, string][]) =>
  records.map(([prompt, completion]) => JSON.stringify({ prompt, completion })).join('\n');

async function diagnosed(): Promise<Diagnosis> {
  const dataset_name = temporaryFile(
    'a.jsonl',
    lines(['p', 'x'], ['q', 'x'], ['p', 'x'], ['q', 'y'], ['r', 'x']),
  );
  const dataset_test_name = temporaryFile('b.jsonl', lines(['p', 'x'], ['r', 'z'], ['s', 'x']));
  const dataset = await openDataset({ ...options, dataset_name, dataset_test_name }, 'unused');
  const path = join(temporaryDirectory(), 'tokens.bin');
  const writer = await TokenFileWriter.create(path, 5);
  await writer.append([
    row(2, 2),
    row(2, 6),
    row(2, 2),
    row(3, 1, { last: 9 }),
    row(3, 4, { isLearned: false }),
  ]);
  await writer.finish();
  const tokens = await TokenFile.open(path);
  try {
    return await diagnose(dataset, tokens, { maxLength: 7, stopIds: [end] });
  } finally {
    await tokens.close();
  }
}

describe('the diagnosis of training data', () => {
  it('counts what is cut, has no end, is not learned, comes twice or is tested', async () => {
    expect(await diagnosed()).toEqual({
      examples: 5,
      lengths: { shortest: 4, median: 4, usual: 8, longest: 8 }, // 4 8 4 4 7
      answers: { shortest: 1, median: 2, usual: 6, longest: 6 }, // 2 6 2 1 4
      cut: 1, // the second, 8 of 7
      tokensLost: 1,
      withoutEnd: 2, // the fourth ends with another id, the fifth with one that is not learned
      nothingLearned: 1,
      learnedShare: (2 + 5 + 2 + 1) / (4 + 7 + 4 + 4 + 7),
      repeated: 1, // p, x
      otherAnswers: 1, // q, y
      testTrained: 1, // p, x
      testPromptsTrained: 1, // r, z
    });
  });

  it('says what to look at, and nothing where all is well', async () => {
    const found = await diagnosed();
    expect(findings(found)).toEqual([
      '1 of 5 examples (20 %) are longer than max_length and lose 1 tokens, their end with them: raise max_length, or too_long: drop',
      '2 of 5 examples (40 %) do not learn an end: the model may run on. Check the chat template and the end-of-text token',
      expect.stringContaining('1 of 5 examples (20 %) have nothing that is learned'),
      expect.stringContaining('duplicates: drop takes them out'),
      expect.stringContaining('ask what an earlier one asks, with another answer'),
      '1 test examples are trained on: what is measured on them is memory',
      expect.stringContaining('1 test examples have a prompt that is trained on'),
    ]);
    const well = { cut: 0, withoutEnd: 0, nothingLearned: 0, repeated: 0, otherAnswers: 0, testTrained: 0 };
    expect(findings({ ...found, ...well, testPromptsTrained: 0 })).toEqual([]);
  });
});

describe('items of evaluation sets in the training data', () => {
  it('are named with their lines; a set that cannot be read is no error', async () => {
    const asked =
      'A train leaves Paris at nine in the morning and travels at eighty kilometres an hour to Lyon';
    const dataset_name = temporaryFile(
      'a.jsonl',
      lines(['Name a city.', 'Paris'], [`${asked}. When is it there?`, 'later']),
    );
    const dataset = await openDataset({ ...options, dataset_name, dataset_test_name: null }, 'unused');
    const set = temporaryFile('set.jsonl', lines(['What is two plus two?', '4'], [asked.toUpperCase(), '?']));
    const config = parseConfig(
      `model_name_or_path: m\noutput_dir: o\nlearning_rate: 0.1\ndataset_name: ${dataset_name}\nretention: {sets: [` +
        `{name: trains, path: ${set}, columns: {answer: completion}}, {name: gone, path: /nowhere/x.jsonl}]}`,
      'x.yaml',
    );
    const train = { ...dataset.train, rows: dataset.train.rows.subarray(1) }; // the first row is held out
    expect(await findContamination(config, train, temporaryDirectory())).toEqual([
      `1 of 2 items of trains share words in a row with a training example: the item in line 2 with line 2 of ${dataset_name} ` +
        '("a train leaves paris at nine in the morning and travels at eighty")',
      expect.stringMatching(/^gone was not looked at: cannot read the data file \/nowhere\/x.jsonl/),
    ]);
  });
});
