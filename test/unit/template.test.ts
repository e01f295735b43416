import { describe, expect, it } from 'vitest';
import { ColumnError, fillTemplate, isTemplate, readColumn } from '../../src/data/template.ts';

const record = { question: 'Why?', n: 3, choices: { text: ['a', 'b'] }, 'a.b': 'dotted' };

describe('readColumn', () => {
  it.each([
    ['question', 'Why?'],
    ['choices.text', ['a', 'b']],
    ['a.b', 'dotted'],
    ['Question: {question}\nAnswer:', 'Question: Why?\nAnswer:'],
  ])('reads %j', (column, value) => {
    expect(readColumn(record, column)).toEqual(value);
  });

  it('names the column that is missing and those there are', () => {
    const error = new ColumnError('no column "prompt"; there are: question, n, choices, a.b');
    expect(() => readColumn(record, 'prompt')).toThrow(error);
    expect(() => readColumn(record, '{prompt}')).toThrow(error);
    expect(() => readColumn(record, 'choices.label')).toThrow('no column "choices.label"');
    expect(() => readColumn({}, 'toString')).toThrow('there are: none');
  });
});

describe('fillTemplate', () => {
  it('writes numbers as they are, and doubled braces as one', () => {
    expect(fillTemplate(record, '{{{n}}} of {choices.text}')).toBe('{3} of ["a","b"]');
    expect(isTemplate('question')).toBe(false);
  });

  it('does not read places inside the text it put in', () => {
    expect(fillTemplate({ a: '{b} $& $1', b: 'x' }, '{a}')).toBe('{b} $& $1');
  });
});
