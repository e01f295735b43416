/**
 * Loaded before every test file. vitest takes a regular expression inside `toMatchObject` for an object without keys, which anything
 * matches: `{ message: /anything/ }` asserts nothing. Here a pattern is matched against the text in its place.
 */
import { expect } from 'vitest';

expect.addEqualityTesters([
  (found: unknown, expected: unknown): boolean | undefined => {
    if (!(expected instanceof RegExp) || found instanceof RegExp) return undefined;
    return typeof found === 'string' && expected.test(found);
  },
]);
