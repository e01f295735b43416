import { describe, expect, it } from 'vitest';
import { showAsText, showExample } from '../../src/cli/data-example.ts';

describe('showExample', () => {
  it('marks the tokens that are learnt', () => {
    const tokens = showExample(Int32Array.of(7, 8, 2), Float32Array.of(0, 1, 1), ['1+1=', '2', '<eos>']);
    expect(tokens).toEqual([
      { id: 7, text: '1+1=', isLearned: false },
      { id: 8, text: '2', isLearned: true },
      { id: 2, text: '<eos>', isLearned: true },
    ]);
    expect(showAsText(tokens)).toBe('1+1=[2][<eos>]');
  });

  it('shows white space', () => {
    expect(showAsText(showExample([1, 2], [0, 0.5], ['a\n', '\tb']))).toBe('a\\n[\\tb]');
  });
});
