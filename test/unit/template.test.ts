import { describe, expect, it } from 'vitest';
import { parseJson } from '../../src/data/json.ts';
import {
  ColumnError,
  type DataRecord,
  emptyPlaces,
  fillTemplate,
  isTemplate,
  readColumn,
} from '../../src/data/template.ts';

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

  it.each(['3.50', '1.0', '1e5', '-0', '12345678901234567891', 'true', '[3.50, {"n": 1.0}]'])(
    'writes %s as the file does',
    written => {
      expect(
        fillTemplate(parseJson(`{"x": ${written}, "in": {"x": ${written}}}`) as DataRecord, '{x} {in.x}'),
      ).toBe(`${written} ${written}`);
    },
  );

  it('refuses a null, but where the place says that it may be one', () => {
    const row = { a: null, in: { b: null }, 'sure?': 'yes' };
    expect(() => fillTemplate(row, 'x {a}')).toThrow(
      'column "a" is null, which has no text; {a?} puts nothing there',
    );
    expect(() => fillTemplate(row, '{in.b}')).toThrow('column "in.b" is null');
    expect(fillTemplate(row, 'x {a?}{in.b?}{sure?}.')).toBe('x yes.');
    expect(() => fillTemplate(row, '{c?}')).toThrow('no column "c"');
    expect(emptyPlaces(row, '{{{a?}}} {sure?} {in.b?}')).toEqual(['a', 'in.b']);
  });

  it('does not read places inside the text it put in', () => {
    expect(fillTemplate({ a: '{b} $& $1', b: 'x' }, '{a}')).toBe('{b} $& $1');
  });
});
