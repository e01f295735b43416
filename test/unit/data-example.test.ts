import { describe, expect, test } from 'vitest';
import { exampleLines, type ShownExample, tokenLines } from '../../src/cli/data-example.ts';
import type { Terminal } from '../../src/cli/terminal.ts';

const plain: Terminal = {
  print: () => undefined,
  note: () => undefined,
  redraw: () => undefined,
  goOnUnread: () => undefined,
  isInteractive: false,
  columns: 80,
  paint: (_, text) => text,
};
const coloured: Terminal = { ...plain, paint: (color, text) => `<${color}>${text}</>` };

const example: ShownExample = {
  id: '0011223344556677',
  split: 'train',
  row: 7,
  isUsed: true,
  length: 4,
  promptLength: 2,
  endsWithEos: true,
  tokens: [
    { id: 9, text: 'Hi', isLearned: false },
    { id: 10, text: '\n', isLearned: false },
    { id: 11, text: ' ho', isLearned: true },
    { id: 2, text: '<eos>', isLearned: true },
  ],
};

describe('an example for a person', () => {
  test('breaks its text where a token ends a line, and brackets what is learnt', () => {
    expect(exampleLines(example, plain)).toEqual([
      'example 0011223344556677 (train, row 7): 4 tokens, 2 of the prompt, 2 learned, ending in <eos>',
      '  Hi\\n',
      '  [ ho][<eos>]',
    ]);
  });

  test('has colours in place of brackets', () => {
    expect(exampleLines(example, coloured).slice(1)).toEqual([
      '  <dim>Hi</><dim>\\n</>',
      '  <green> ho</><bold><green><eos></></>',
    ]);
  });

  test('has a line a token on request', () => {
    expect(tokenLines(example, plain).slice(1)).toEqual([
      '      0        9  prompt   "Hi"',
      '      1       10  prompt   "\\n"',
      '      2       11  learned  " ho"',
      '      3        2  learned  "<eos>"',
    ]);
  });

  test('says when it is cut, left out, or does not end an answer', () => {
    const heading = (change: Partial<ShownExample>) => exampleLines({ ...example, ...change }, plain)[0];
    expect(heading({ length: 9 })).toContain('2 learned; cut from 9, so its end is not learned');
    expect(heading({ isUsed: false })).toContain('(train, row 7, not trained on)');
    expect(heading({ endsWithEos: false })).toContain('; its last token <eos> does not end an answer');
  });
});
