/** Which examples are held out: by a hash of the prompt, so that equal prompts stay together and rows added later move nothing. */
import { keyedNumbers } from './keyed-random.ts';

/** Rows of each side, ascending. */
export type Split = { readonly train: Uint32Array; readonly test: Uint32Array };

/**
 * Split rows by `testSize`: a share below 1 (every prompt decides for itself), else a number of examples (those with the smallest
 * hashes; more where equal prompts share the last hash).
 */
export function splitRows(promptKeys: Uint32Array, testSize: number, seed: number): Split {
  const numbers = keyedNumbers(seed, 'held-out');
  const hashes = promptKeys.map(key => numbers([0, key], 0, 0)[0]);
  const limit = testSize < 1 ? testSize * 2 ** 32 : limitOfSmallest(hashes, testSize);
  let testCount = 0;
  for (const hash of hashes) if (hash < limit) testCount++;
  const train = new Uint32Array(hashes.length - testCount);
  const test = new Uint32Array(testCount);
  let [trainEnd, testEnd] = [0, 0];
  for (const [row, hash] of hashes.entries()) {
    if (hash < limit) test[testEnd++] = row;
    else train[trainEnd++] = row;
  }
  return { train, test };
}

/** Everything below it is among the `count` smallest. */
function limitOfSmallest(hashes: Uint32Array, count: number): number {
  const last = hashes.slice().sort()[Math.min(count, hashes.length) - 1];
  return last === undefined ? 0 : last + 1;
}
