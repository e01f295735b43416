import { expect, it } from 'vitest';
import { formatBytes, formatCount, formatDuration } from '../../src/plan/describe.ts';

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1 kB'],
  [999_600, '1 MB'],
  [1_350_000_000, '1.35 GB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [45.2, '45 s'],
  [99.6, '2 min'],
  [5900, '98 min'],
  [12_000, '3 h 20 min'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

it('groups digits', () => {
  expect(formatCount(1234567.4)).toBe('1,234,567');
});
