import { describe, expect, it } from 'vitest';
import { checkLengths, checkPositions, describeDrops } from '../../src/data/lengths.ts';

const options = { max_length: 10, too_long: 'truncate', max_too_long_fraction: 1 } as const;
//                     fits  long  prompt fills  no prompt  no completion
const tokens = { lengths: [6, 14, 12, 5, 4], promptLengths: [2, 3, 10, 0, 4] };
const rows = Uint32Array.of(0, 1, 2, 3, 4);

describe('checkLengths', () => {
  it('cuts long examples, drops those with nothing to learn, and counts tokens after the cut', () => {
    expect(checkLengths('a.jsonl', rows, tokens, options)).toEqual({
      usable: Uint32Array.of(0, 1),
      tooLong: 1,
      promptTooLong: 1,
      emptyPrompts: 1,
      emptyCompletions: 1,
      tokens: 16,
      promptTokens: 5,
      longest: 14,
      tooMany: null,
    });
  });

  it('drops long examples when asked', () => {
    const report = checkLengths('a.jsonl', rows, tokens, { ...options, too_long: 'drop' });
    expect([[...report.usable], report.tokens]).toEqual([[0], 6]);
  });

  it('looks only at the rows it is given', () => {
    expect(checkLengths('a.jsonl', Uint32Array.of(1), tokens, options)).toMatchObject({
      tooLong: 1,
      promptTooLong: 0,
    });
  });

  it('refuses more than 1 % too long, and says which share would pass', () => {
    const many = {
      lengths: Array.from({ length: 200 }, (_, i) => (i < 3 ? 11 : 5)),
      promptLengths: Array.from({ length: 200 }, () => 1),
    };
    const check = (share: number) =>
      checkLengths('a.jsonl', Uint32Array.from(many.lengths.keys()), many, {
        ...options,
        max_too_long_fraction: share,
      });
    expect(check(0.01).tooMany?.message).toMatch(
      'a.jsonl: 3 of 200 examples (1.5 %) are longer than max_length 10; the longest has 11',
    );
    expect(check(0.015)).toMatchObject({ tooLong: 3, tooMany: null });
  });

  it('refuses when nothing is left', () => {
    const one = { lengths: [4], promptLengths: [4] };
    expect(() => checkLengths('a.jsonl', Uint32Array.of(0), one, options)).toThrow(
      'a.jsonl: no example is left to train on (1 without completion tokens)',
    );
  });
});

describe('describeDrops', () => {
  it('names what is not zero', () => {
    const report = checkLengths('a.jsonl', rows, tokens, options);
    expect(describeDrops(report)).toBe(
      '1 longer than max_length, 1 with a prompt that fills max_length, 1 without prompt tokens, 1 without completion tokens',
    );
  });
});

describe('checkPositions', () => {
  it('refuses sequences longer than the model', () => {
    expect(() => checkPositions(1024, 64)).toThrow('max_length is 1024, but the model has 64 positions');
    expect(() => checkPositions(64, 64)).not.toThrow();
    expect(() => checkPositions(1024, null)).not.toThrow();
  });
});
