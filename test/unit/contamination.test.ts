import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findOverlaps } from '../../src/data/contamination.ts';

const words = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `w${from + i}`).join(' ');

test('an item shares thirteen words in a row, whatever their case and punctuation', async () => {
  const items = [words(0, 20), words(100, 20), words(200, 20)];
  const examples = [
    `before ${words(3, 12)} after`, // twelve of the first
    `x, ${words(104, 13).toUpperCase().replaceAll(' ', ', ')}! y`,
    words(100, 20),
  ];
  expect(await findOverlaps(items, examples)).toEqual([{ item: 1, example: 1, words: words(104, 13) }]);
});

test('a shorter item counts as a whole, and below eight words not at all', async () => {
  const items = [words(0, 8), words(20, 9), words(40, 7), ''];
  const found = await findOverlaps(items, [`a ${words(0, 8)} b`, words(20, 8), words(40, 7)]);
  expect(found).toEqual([{ item: 0, example: 0, words: words(0, 8) }]);
});

test('three test questions of GSM8K share thirteen words with training ones, and a planted one is found', async () => {
  const folder = join(import.meta.dirname, '../../../shared/data/gsm8k');
  if (!existsSync(folder)) return;
  const questions = (name: string): string[] =>
    readFileSync(join(folder, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).question);
  const [train, asked] = [questions('train.jsonl'), questions('test.jsonl')];
  // Counted by a set of tuples in Python.
  const overlaps = await findOverlaps(asked, [...train, `So: ${asked[3]}`]);
  expect(overlaps.map(({ item }) => item)).toEqual([3, 581, 602, 632]);
  expect(overlaps[0]?.example).toBe(train.length);
});
