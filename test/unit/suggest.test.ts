import { describe, expect, it } from 'vitest';
import { listSettings } from '../../src/config/settings-list.ts';
import { editDistance, nearest, renamedKeys, suggestKey } from '../../src/config/suggest.ts';

describe('editDistance', () => {
  it.each([
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['alhpa', 'alpha', 1],
    ['seed', 'seed', 0],
  ])('from %s to %s is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });
});

describe('nearest', () => {
  it('ignores case and gives nothing when all are far', () => {
    expect(nearest('Learning_Rte', ['seed', 'learning_rate'])).toBe('learning_rate');
    expect(nearest('xyz', ['seed', 'learning_rate'])).toBeNull();
  });
});

describe('suggestKey', () => {
  const paths = ['seed', 'max_length', 'tms.alpha', 'tms.unfinished', 'retention'];

  it('prefers a near sibling', () => {
    expect(suggestKey('sed', ['seed'], paths)).toBe('seed');
  });

  it('knows what other tools call a key', () => {
    expect(suggestKey('forget', ['seed'], paths)).toBe('retention');
    expect(suggestKey('max_completion_length', ['seed'], paths)).toBe('tms.max_new_tokens');
  });

  it('finds the same key in another block, and a near one too', () => {
    expect(suggestKey('unfinished', ['seed'], paths)).toBe('tms.unfinished');
    expect(suggestKey('unfinishd', ['seed'], paths)).toBe('tms.unfinished');
  });

  it('says nothing rather than something wrong', () => {
    expect(suggestKey('quux', ['seed'], paths)).toBeNull();
  });

  it('points renamed keys only at settings that exist', () => {
    const known = new Set(listSettings().map(({ path }) => path.replaceAll('.*', '')));
    const leaves = new Set([...known].map(path => path.slice(path.lastIndexOf('.') + 1)));
    for (const target of Object.values(renamedKeys)) {
      const path = target.split(/[ :]/)[0] ?? '';
      expect(known.has(path) || leaves.has(path), target).toBe(true);
    }
  });
});
