import { describe, expect, test } from 'vitest';
import {
  byteCount,
  collect,
  duration,
  integerFrom,
  numberWithin,
  textsWithEscapes,
} from '../../src/cli/arguments.ts';

describe('values of options', () => {
  test('times and sizes have units', () => {
    expect([duration('90m'), duration('12h'), duration('1.5d'), duration('4w')]).toEqual([
      5400, 43_200, 129_600, 2_419_200,
    ]);
    expect([byteCount('20G'), byteCount('1.5 MB'), byteCount('700'), byteCount('2kb')]).toEqual([
      20e9, 1.5e6, 700, 2000,
    ]);
  });

  test('texts may hold line breaks, written as two letters, and none may be empty', () => {
    expect(textsWithEscapes('\\nQ:', textsWithEscapes('.'))).toEqual(['.', '\nQ:']);
    expect(() => textsWithEscapes('')).toThrow('It is empty.');
  });

  test.each(['30', 'd', '-1d', '1y', ''])('%j is no time', text => {
    expect(() => duration(text)).toThrow('It must be a time such as 90m, 12h, 30d or 4w.');
  });

  test.each(['G', '-1', '1X', ''])('%j is no size', text => {
    expect(() => byteCount(text)).toThrow('It must be a size such as 500M or 20G.');
  });

  test.each(['0', '1001', '1.5', '1e2', ' ', '-3'])('%j is no whole number from 1 to 1000', text => {
    expect(() => integerFrom(1, 1000)(text)).toThrow('It must be a whole number from 1 to 1000.');
  });

  test('a range may leave its lower end out', () => {
    const share = numberWithin({ above: 0, to: 1 });
    expect([share('1'), share('0.9'), numberWithin({ from: 0 })('0')]).toEqual([1, 0.9, 0]);
    for (const text of ['0', '1.01', 'x', '', 'Infinity'])
      expect(() => share(text)).toThrow('It must be a number, above 0 and at most 1.');
    expect(() => numberWithin({ from: 0 })('-1')).toThrow('It must be a number, 0 or more.');
  });

  test('a repeated option keeps its order', () => {
    expect(collect('b', collect('a'))).toEqual(['a', 'b']);
  });
});
