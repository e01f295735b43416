/** Log-probabilities of sequences, some at a time, so that progress shows and an interrupt waits for little. */
import type { Row } from '../worker/tensors.ts';
import type { Worker } from '../worker/worker.ts';
import type { Tally } from './tally.ts';

/** After which a call ends, as soon as it parts no sequences that have much in common; at four times as many it ends anywhere. */
const limits = { sequences: 256, tokens: 16_384 } as const;
const farthest = 4;

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
  const added = sequences.map((_, i) => addedTokens(sequences, starts, i));
  const found: Float32Array[] = [];
  while (found.length < sequences.length) {
    const here = [found.length, partEnd(sequences, added, found.length)] as const;
    const part = sequences.slice(...here);
    const asked = starts && { starts: starts.slice(...here).map(start => Math.max(1, start)) };
    found.push(...(await worker.forward(part, { ...tally.next(), ...asked })).logprobs);
    tally.add(part.length, { scored: part.reduce((sum, { length }) => sum + length, 0) });
  }
  return found;
}

/** Tokens that a sequence adds to a call in which the one before it is. */
function addedTokens(sequences: readonly Row[], starts: readonly number[] | undefined, i: number): number {
  const [row, before] = [sequences[i] as Row, sequences[i - 1]];
  const start = starts?.[i] ?? 0;
  const isWorthIt = before !== undefined && starts?.[i - 1] === start && 2 * start >= row.length;
  const isShared = isWorthIt && isSame(row, before, start);
  return isShared ? row.length - start : row.length;
}

function isSame(a: Row, b: Row, length: number): boolean {
  for (let j = 0; j < length; j++) if (a[j] !== b[j]) return false;
  return true;
}

/** Before which sequence a call ends that begins with `start`. */
function partEnd(sequences: readonly Row[], added: readonly number[], start: number): number {
  let tokens = 0;
  for (let i = start; i < sequences.length; i++) {
    const { length } = sequences[i] as Row;
    const own = added[i] as number;
    tokens += i === start ? length : own;
    const isOver = (times: number) => tokens > times * limits.tokens || i - start >= times * limits.sequences;
    if (i > start && (isOver(farthest) || (own === length && isOver(1)))) return i;
  }
  return sequences.length;
}

/** Sum from place `start` to before `end`, in double precision. */
export function sumBetween(logprobs: Float32Array, start: number, end: number = logprobs.length): number {
  let sum = 0;
  for (let j = start; j < end; j++) sum += logprobs[j] as number;
  return sum;
}
