import { describe, expect, test } from 'vitest';
import { itemsToPrune, type PruneRules } from '../../src/store/prune.ts';
import type { StoreItem } from '../../src/store/store.ts';

const day = (number: number) => new Date(Date.UTC(2026, 0, number));
const items: StoreItem[] = [
  { kind: 'trainings', name: 'a', path: '/a', bytes: 50, usedAt: day(1) },
  { kind: 'answers', name: 'b', path: '/b', bytes: 30, usedAt: day(2) },
  { kind: 'trainings', name: 'c', path: '/c', bytes: 20, usedAt: day(3) },
];

function namesPruned(rules: Partial<PruneRules>): string {
  const chosen = itemsToPrune(items, { all: false, unusedSince: null, keepBytes: null, ...rules });
  return chosen.map(({ name }) => name).join('');
}

describe('itemsToPrune', () => {
  test('by age takes what was last used before', () => {
    expect(namesPruned({ unusedSince: day(2) })).toBe('a');
    expect(namesPruned({ unusedSince: day(1) })).toBe('');
  });

  test('by size takes the longest unused until the rest fits', () => {
    expect(namesPruned({ keepBytes: 100 })).toBe('');
    expect(namesPruned({ keepBytes: 99 })).toBe('a');
    expect(namesPruned({ keepBytes: 49 })).toBe('ab');
    expect(namesPruned({ keepBytes: 0 })).toBe('abc');
  });

  test('two rules take what either takes', () => {
    expect(namesPruned({ unusedSince: day(2), keepBytes: 20 })).toBe('ab');
  });

  test('all takes everything', () => {
    expect(namesPruned({ all: true })).toBe('abc');
  });
});
