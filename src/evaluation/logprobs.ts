/** Log-probabilities of sequences, some at a time, so that progress shows and an interrupt waits for little. */
import type { Row } from '../worker/tensors.ts';
import type { Worker } from '../worker/worker.ts';
import type { Tally } from './tally.ts';

/** Of one call. */
const limits = { sequences: 256, tokens: 16_384 } as const;

/**
 * Log-probability (nats) of each token of each sequence under the worker's model; with `starts`, from that token of each on, 0 before it:
 * what neighbours have in common up to there is computed once.
 */
export async function logprobsOf(
  worker: Worker,
  sequences: readonly Row[],
  tally: Tally,
  starts?: readonly number[],
): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  while (found.length < sequences.length) {
    const here = [found.length, found.length + partSize(sequences, found.length)] as const;
    const part = sequences.slice(...here);
    const asked = starts && { starts: starts.slice(...here).map(start => Math.max(1, start)) };
    found.push(...(await worker.forward(part, { ...tally.next(), ...asked })).logprobs);
    tally.add(part.length, { scored: part.reduce((sum, { length }) => sum + length, 0) });
  }
  return found;
}

/** How many sequences from `start` on make one call. */
function partSize(sequences: readonly Row[], start: number): number {
  let [size, tokens] = [0, 0];
  for (const { length } of sequences.slice(start, start + limits.sequences)) {
    tokens += length;
    if (size > 0 && tokens > limits.tokens) break;
    size++;
  }
  return size;
}

/** Sum from place `start` to before `end`, in double precision. */
export function sumBetween(logprobs: Float32Array, start: number, end: number = logprobs.length): number {
  let sum = 0;
  for (let j = start; j < end; j++) sum += logprobs[j] as number;
  return sum;
}
