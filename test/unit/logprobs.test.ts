import { expect, it } from 'vitest';
import { logprobsOf } from '../../src/evaluation/logprobs.ts';
import { newTally } from '../../src/evaluation/tally.ts';
import type { Row } from '../../src/worker/tensors.ts';
import type { Worker } from '../../src/worker/worker.ts';

/** Says of each token its own id, and notes what each call asked. */
function noting() {
  const calls: { readonly sequences: number; readonly starts: readonly number[] | undefined }[] = [];
  const forward = async (part: readonly Row[], { starts }: { readonly starts?: readonly number[] }) => {
    calls.push({ sequences: part.length, starts });
    return { logprobs: part.map(row => Float32Array.from(row)) };
  };
  return { calls, worker: { forward } as unknown as Worker };
}

/** 40 questions of 1,000 tokens with four options of one token each. */
const questions = Array.from({ length: 40 }, (_, q) =>
  Array.from({ length: 4 }, (_, option) => [...Array<number>(1000).fill(q), 100 + option]),
).flat();

it('sends as many questions in a call as fit, each with all its options: 16 of 1,004 tokens, not four of 4,004', async () => {
  const { calls, worker } = noting();
  const found = await logprobsOf(worker, questions, newTally(0), Array(160).fill(1000));
  expect(calls.map(({ sequences }) => sequences)).toEqual([64, 64, 32]);
  expect(found.map(row => row.at(-1))).toEqual(questions.map(row => row.at(-1)));
});

it('counts every token of sequences that share nothing: 16 of 1,001 in a call', async () => {
  const { calls, worker } = noting();
  await logprobsOf(worker, questions, newTally(0));
  expect(calls.map(({ sequences }) => sequences)).toEqual(Array(10).fill(16));
  expect(calls[0]?.starts).toBeUndefined();
});

it('cuts between sequences that have only a first token in common, and a crowd behind one context at four times the limits', async () => {
  const bos = noting();
  const texts = Array.from({ length: 40 }, (_, i) => [1, ...Array<number>(1000).fill(i)]);
  await logprobsOf(bos.worker, texts, newTally(0), Array(40).fill(1));
  expect(bos.calls.map(({ sequences }) => sequences)).toEqual([16, 16, 8]);
  const crowd = noting();
  const answers = Array.from({ length: 1500 }, (_, i) => [...Array<number>(100).fill(7), i]);
  await logprobsOf(crowd.worker, answers, newTally(0), Array(1500).fill(100));
  expect(crowd.calls.map(({ sequences }) => sequences)).toEqual([1024, 476]);
});

it('asks for nothing before the second token: nothing predicts the first', async () => {
  const { calls, worker } = noting();
  await logprobsOf(worker, [[5, 6]], newTally(0), [0]);
  expect(calls).toEqual([{ sequences: 1, starts: [1] }]);
});
