import { describe, expect, test } from 'vitest';
import {
  below,
  fnv1a,
  philox,
  pick,
  pickWeighted,
  type Random,
  randomAt,
  shuffled,
  unit,
} from '../../src/data/random.ts';

const ones = 0xffffffff;

/** A source that yields the given numbers. */
function sourceOf(...numbers: number[]): Random {
  return () => numbers.shift() ?? 0;
}

function take(count: number, random: Random): number[] {
  return Array.from({ length: count }, () => random());
}

describe('the generator', () => {
  test('yields the published numbers of Philox4x32-10', () => {
    // kat_vectors of Random123, the library of its authors
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
    const [counter, key] = [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const,
      [0xa4093822, 0x299f31d0] as const,
    ];
    expect(philox(counter, key)).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  test('hashes names with the published numbers of FNV-1a', () => {
    expect(['', 'a', 'foobar'].map(fnv1a)).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  });

  test('reads block by block under the key (seed, hash of the stream)', () => {
    const key = [7, fnv1a('order')] as const;
    const expected = [...philox([0, 0, 5, 1], key), ...philox([1, 0, 5, 1], key)];
    expect(take(8, randomAt(7, 'order', 2 ** 32 + 5))).toEqual(expected);
  });

  test('differs in every argument and repeats with the same', () => {
    const first = take(6, randomAt(1, 'a', 1));
    expect(take(6, randomAt(1, 'a', 1))).toEqual(first);
    for (const other of [randomAt(2, 'a', 1), randomAt(1, 'b', 1), randomAt(1, 'a', 2)])
      expect(take(6, other)).not.toEqual(first);
  });

  test('refuses what is no seed or index', () => {
    expect(() => randomAt(-1, 'a')).toThrow('seed is -1');
    expect(() => randomAt(2 ** 32, 'a')).toThrow('seed is 4294967296');
    expect(() => randomAt(1, 'a', 0.5)).toThrow('index is 0.5');
  });
});

describe('draws', () => {
  test('an integer below 10 rejects the numbers that would favour small ones', () => {
    // 2^32 = 4294967290 + 6: the last six numbers are one incomplete round
    expect(below(sourceOf(4294967289), 10)).toBe(9);
    expect(below(sourceOf(4294967290, ones, 23), 10)).toBe(3);
    expect(below(sourceOf(ones), 2 ** 32)).toBe(ones);
  });

  test('a unit number takes 27 and 26 bits and stays below 1', () => {
    expect(unit(sourceOf(0, 0))).toBe(0);
    expect(unit(sourceOf(2 ** 31, 0))).toBe(0.5);
    expect(unit(sourceOf(0, 64))).toBe(2 ** -53);
    expect(unit(sourceOf(ones, ones))).toBe(1 - 2 ** -53);
  });

  test('a value is picked by its place, or by its weight', () => {
    expect(pick(sourceOf(4), ['a', 'b', 'c'])).toBe('b');
    expect(() => pick(sourceOf(1), [])).toThrow('nothing to pick from');
    expect(pickWeighted(sourceOf(0, 0), [1, 3])).toBe(0);
    expect(pickWeighted(sourceOf(2 ** 30, 0), [1, 3])).toBe(1); // exactly a quarter is the second's
    expect(pickWeighted(sourceOf(ones, ones), [0, 1, 0])).toBe(1);
  });

  test('a shuffle follows Fisher and Yates and leaves its input alone', () => {
    const values = ['a', 'b', 'c'];
    // last = 2 swaps with 3 mod 3 = 0: c b a; last = 1 swaps with 1 mod 2 = 1: c b a
    expect(shuffled(sourceOf(3, 1), values)).toEqual(['c', 'b', 'a']);
    expect(values).toEqual(['a', 'b', 'c']);
  });

  test('all six orders of three values come up equally often', () => {
    const counts = new Map<string, number>();
    for (let index = 0; index < 6000; index++) {
      const order = shuffled(randomAt(3, 'orders', index), ['a', 'b', 'c']).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120); // 4 standard deviations
  });
});
