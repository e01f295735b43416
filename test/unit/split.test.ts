import { describe, expect, it } from 'vitest';
import { splitRows } from '../../src/data/dataset.ts';

const keys = Uint32Array.from({ length: 10_000 }, (_, i) => i * 400_000);

describe('splitRows', () => {
  it('puts every row on exactly one side, in order', () => {
    const { train, test } = splitRows(keys, 0.1, 42);
    expect([...train, ...test].toSorted((a, b) => a - b)).toEqual([...keys.keys()]);
    expect([...test]).toEqual([...test].toSorted((a, b) => a - b));
  });

  it('holds out the share asked for: 1,000 ± 4 standard deviations of 30', () => {
    expect(Math.abs(splitRows(keys, 0.1, 42).test.length - 1000)).toBeLessThan(120);
  });

  it('moves no row when others are added', () => {
    const before = splitRows(keys.subarray(0, 6000), 0.1, 42).test;
    const after = splitRows(keys, 0.1, 42).test.filter(row => row < 6000);
    expect([...after]).toEqual([...before]);
  });

  it('holds out an exact number; rows added later replace only those they outrank', () => {
    const before = splitRows(keys.subarray(0, 6000), 50, 42).test;
    const after = splitRows(keys, 50, 42).test;
    expect([before.length, after.length]).toEqual([50, 50]);
    const kept = after.filter(row => row < 6000);
    expect([...kept].every(row => before.includes(row))).toBe(true);
  });

  it('keeps equal prompts on one side', () => {
    const pairs = keys.map((_, i) => keys[i >> 1] as number);
    const test = new Set(splitRows(pairs, 0.3, 1).test);
    for (let row = 0; row < pairs.length; row += 2) expect(test.has(row)).toBe(test.has(row + 1));
  });

  it('holds out none at 0, all at a number that large, and others under another seed', () => {
    expect(splitRows(keys, 0, 1).test).toHaveLength(0);
    expect(splitRows(keys, 20_000, 1).train).toHaveLength(0);
    expect(splitRows(new Uint32Array(0), 5, 1).test).toHaveLength(0);
    expect([...splitRows(keys, 0.1, 1).test]).not.toEqual([...splitRows(keys, 0.1, 2).test]);
  });
});
