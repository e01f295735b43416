import { describe, expect, it } from 'vitest';
import { duplicateFinder } from '../../src/data/example-index.ts';
import { splitMix } from '../support/split-mix.ts';

describe('duplicateFinder', () => {
  it('agrees with a set, with few low words so that slots collide', () => {
    const random = splitMix(1);
    const rows = 500;
    const ids = Uint32Array.from({ length: 2 * rows }, (_, i) => random() % (i % 2 === 0 ? 40 : 5));
    const cameBefore = duplicateFinder(ids, rows);
    const seen = new Set<string>();
    for (let row = 0; row < rows; row++) {
      const id = `${ids[2 * row]}/${ids[2 * row + 1]}`;
      expect(cameBefore(row)).toBe(seen.has(id));
      seen.add(id);
    }
    expect(seen.size).toBeLessThan(rows);
  });
});
