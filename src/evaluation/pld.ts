/** Policy–label divergence (PLD): how unlikely a model finds the gold completions (2602.03073). */

import type { Selection } from '../data/dataset.ts';
import { type Example, learnedParts } from '../data/example.ts';
import { idText } from '../data/example-index.ts';
import { ExampleReader } from '../data/example-reader.ts';
import type { ShapeOptions } from '../data/shape.ts';
import type { TokenFile } from '../data/token-file.ts';
import type { EvaluationRecord } from '../run/records.ts';
import { completionOnly, type Encoded, type Worker } from '../worker/worker.ts';
import { logprobsOf } from './logprobs.ts';
import type { Tally } from './tally.ts';

/** An example as it is trained on: a whole sequence, its end included. `completionBytes`: of the learned text in UTF-8. */
export type DivergenceExample = Encoded & { readonly id: string; readonly completionBytes: number };

export type Divergence = NonNullable<EvaluationRecord['pld']['test']>;

/** PLD on these examples; null of none. */
export async function measureDivergence(
  worker: Worker,
  examples: readonly DivergenceExample[],
  tally: Tally,
): Promise<Divergence | null> {
  const logprobs = await logprobsOf(
    worker,
    examples.map(({ ids }) => ids),
    tally,
  );
  return divergenceOf(examples, logprobs);
}

/**
 * −Σ log p of the learned tokens: over all tokens, over the examples, and in bits over the bytes of the completions. The token
 * that ends a sequence counts as a token but has no byte.
 */
export function divergenceOf(
  examples: readonly DivergenceExample[],
  logprobs: readonly Float32Array[],
): Divergence | null {
  if (examples.length === 0) return null;
  let [nll, tokens, bytes] = [0, 0, 0];
  for (const [i, example] of examples.entries()) {
    const { ce: weights = [] } = completionOnly(example);
    for (const [j, logprob] of (logprobs[i] as Float32Array).entries()) {
      if (weights[j] === 0) continue;
      nll -= logprob;
      tokens++;
    }
    bytes += example.completionBytes;
  }
  return {
    nllPerToken: nll / tokens,
    nllPerSequence: nll / examples.length,
    bitsPerByte: nll / Math.LN2 / bytes,
    examples: examples.length,
    tokens,
  };
}

// The examples of a split that PLD and KL are measured on.

export type DivergenceOptions = ShapeOptions & { readonly count: number; readonly max_length: number };

/** The `count` examples with the smallest ids among those that fit `max_length` whole; fewer where there are no more. Ids ascend. */
export async function readDivergenceExamples(
  { index, rows }: Selection,
  tokens: TokenFile,
  options: DivergenceOptions,
): Promise<DivergenceExample[]> {
  const whole = rows.filter(row => isWhole(tokens, row, options.max_length));
  const chosen = smallestIds(whole, row => index.ids[2 * row] as number, options.count)
    .map(row => ({ row, id: idText(index, row) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .slice(0, options.count);
  const reader = await ExampleReader.open(index, options);
  try {
    const examples: DivergenceExample[] = [];
    for (const { row, id } of chosen) {
      const completionBytes = bytesOf(await reader.read(row));
      examples.push({ ...(await tokens.read(row)), id, completionBytes });
    }
    return examples;
  } finally {
    await reader.close();
  }
}

/** How many examples of a split do not fit `max_length` whole and are left out; null where nothing is read of it. */
export function leftOutNote(
  split: 'train' | 'test',
  { rows }: Selection,
  {
    tokens,
    count,
    max_length,
  }: Pick<DivergenceOptions, 'count' | 'max_length'> & { readonly tokens: TokenFile },
): string | null {
  const left = count === 0 ? 0 : rows.filter(row => !isWhole(tokens, row, max_length)).length;
  if (left === 0) return null;
  const examples = split === 'train' ? 'training' : 'test';
  return `PLD and KL leave out ${left} of ${rows.length} ${examples} examples, which do not fit max_length ${max_length} whole`;
}

function isWhole({ lengths, promptLengths }: TokenFile, row: number, maxLength: number): boolean {
  const [length = 0, promptLength = 0] = [lengths[row], promptLengths[row]];
  return promptLength > 0 && promptLength < length && length <= maxLength;
}

/** Rows whose first word of the id is among the `count` smallest, with all that share the last one. */
function smallestIds(rows: Uint32Array, wordOf: (row: number) => number, count: number): number[] {
  if (count === 0) return [];
  const last = rows.map(wordOf).sort()[Math.min(count, rows.length) - 1] ?? 0;
  return [...rows.filter(row => wordOf(row) <= last)];
}

/** Of what is said; of tool calls and thoughts, their JSON. */
function bytesOf(example: Example): number {
  const texts = learnedParts(example).map(part =>
    typeof part === 'string' ? part : `${part.content ?? ''}${part.fields ?? ''}`,
  );
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
}
