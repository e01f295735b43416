import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DatasetOptions, describeDataset, openDataset } from '../../src/data/dataset.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const lines = (count: number, make = (i: number): object => ({ prompt: `p${i}`, completion: 'c' })) =>
  Array.from({ length: count }, (_, i) => JSON.stringify(make(i))).join('\n');

const options = (more: Partial<DatasetOptions>): DatasetOptions => ({
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
  duplicates: 'keep',
  dataset_name: '',
  dataset_test_name: null,
  test_size: 0.1,
  max_train_samples: null,
  max_test_samples: null,
  seed: 42,
  data_seed: null,
  ...more,
});

describe('openDataset', () => {
  it('holds out part of one file and takes the first so many', async () => {
    const dataset_name = temporaryFile('a.jsonl', lines(100));
    const { train, test } = await openDataset(
      options({ dataset_name, test_size: 30, max_train_samples: 50 }),
      'unused',
    );
    expect([train.rows.length, test.rows.length]).toEqual([50, 30]);
    expect([...train.rows].filter(row => test.rows.includes(row))).toEqual([]);
  });

  it('uses a file of its own for test examples', async () => {
    const dataset_name = temporaryFile('a.jsonl', lines(5));
    const dataset_test_name = temporaryFile('b.jsonl', lines(3));
    const dataset = await openDataset(
      options({ dataset_name, dataset_test_name, max_test_samples: 2 }),
      'unused',
    );
    expect([[...dataset.train.rows], [...dataset.test.rows]]).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1],
    ]);
    expect(describeDataset(dataset)).toEqual([
      expect.stringMatching(/a.jsonl: prompt and completion as text; 5 examples; digest [0-9a-f]{12}$/),
      expect.stringMatching(/b.jsonl: prompt and completion as text; 3 examples; digest [0-9a-f]{12}$/),
      '5 training examples, 2 held out',
    ]);
  });

  it('says what was counted', async () => {
    const text = `${lines(3)}\n\n${lines(1)}\n{"prompt": "x", "completion": ""}`;
    const dataset_name = temporaryFile('a.jsonl', text);
    const [line] = describeDataset(await openDataset(options({ dataset_name, test_size: 0 }), 'unused'));
    expect(line).toMatch(/4 examples, 1 dropped \(empty completion\), 1 repeated, 1 blank lines; digest/);
  });

  it('trains on a single example', async () => {
    const dataset_name = temporaryFile('a.jsonl', lines(1));
    const { train, test } = await openDataset(options({ dataset_name, test_size: 0 }), 'unused');
    expect([train.rows.length, test.rows.length]).toEqual([1, 0]);
  });

  it('refuses a split that leaves nothing to train on', async () => {
    const dataset_name = temporaryFile('a.jsonl', lines(3));
    await expect(openDataset(options({ dataset_name, test_size: 3 }), 'unused')).rejects.toThrow(
      /test_size 3 leaves no training example of 3/,
    );
  });

  it('refuses prompts without completions, and two files of different shapes', async () => {
    const promptOnly = temporaryFile(
      'a.jsonl',
      lines(2, i => ({ prompt: `p${i}` })),
    );
    await expect(openDataset(options({ dataset_name: promptOnly }), 'unused')).rejects.toThrow(
      /no completions to train on/,
    );
    const dataset_name = temporaryFile('a.jsonl', lines(2));
    const dataset_test_name = join(import.meta.dirname, '../fixtures/data/messages.zstd.parquet');
    await expect(
      openDataset(options({ dataset_name, dataset_test_name }), temporaryDirectory()),
    ).rejects.toThrow(/mixed shapes: .*a.jsonl has prompt and completion as text, .*parquet has messages/);
  });
});
