import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AnswerIndex } from '../../src/store/answer-index.ts';

const keyOf = (i: number) => createHash('md5').update(String(i)).digest('hex');

describe('the index of answers', () => {
  it('says of 5,000 keys what a Map says, with keys that move and keys that are not there', () => {
    const index = new AnswerIndex();
    const map = new Map<string, { start: number; length: number }>();
    for (let i = 0; i < 7000; i++) {
      const key = keyOf(i % 5000);
      const place = { start: 2 ** 33 + 100 * i, length: i };
      index.set(key, place);
      map.set(key, place);
    }
    for (let i = 0; i < 10_000; i++) expect(index.get(keyOf(i))).toEqual(map.get(keyOf(i)));
  });

  it('tells keys apart that differ in any one digit', () => {
    const index = new AnswerIndex();
    const key = '0'.repeat(32);
    index.set(key, { start: 1, length: 1 });
    for (let i = 0; i < 32; i++) expect(index.get(`${key.slice(0, i)}1${key.slice(i + 1)}`)).toBeUndefined();
    expect(index.get(key)).toEqual({ start: 1, length: 1 });
  });
});
