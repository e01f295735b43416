/** The backend under test, and the few measurements that the suite is made of. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { Channel } from '../../../src/worker/channel.ts';
import type { ErrorCode, ModelInfo, Result } from '../../../src/worker/protocol.ts';
import type { Row } from '../../../src/worker/tensors.ts';
import type { LoadOptions, StepOptions, TrainingSequence, Worker } from '../../../src/worker/worker.ts';

export type Backend = {
  readonly worker: Worker;
  /** What `worker` stands on. */
  readonly channel: Channel;
  /** False for what only samples and scores. */
  readonly trains: boolean;
  /** A model to load: at least 101 tokens, 128 positions and a chat template. */
  readonly model: string;
  close(): Promise<void>;
};
export type OpenBackend = () => Promise<Backend>;

/** One backend for many tests. */
export type Subject = Backend & {
  /** Of the model loaded last by `fresh`. */
  readonly loaded: ModelInfo;
  /** A directory that lives as long as the subject. */
  readonly directory: string;
  /** Load the model as it was in the beginning. */
  fresh(options?: Omit<LoadOptions, 'model'>): Promise<ModelInfo>;
};

/** Opens a backend before the tests of the surrounding `describe` and closes it after them. */
export function useSubject(open: OpenBackend): Subject {
  const subject = {} as { -readonly [K in keyof Subject]: Subject[K] };
  beforeAll(async () => {
    const backend = await open();
    await backend.worker.status(); // a worker may take long until it can answer at all; no test should wait for that
    const directory = mkdtempSync(join(tmpdir(), 'tms-conformance-'));
    const fresh = async (options: Omit<LoadOptions, 'model'> = {}) => {
      subject.loaded = await backend.worker.load({ model: backend.model, ...options });
      return subject.loaded;
    };
    Object.assign(subject, backend, { directory, fresh, close: () => backend.close() });
  });
  afterAll(async () => {
    await subject.close();
    rmSync(subject.directory, { recursive: true, force: true });
  });
  return subject;
}

/** Sequences that the tests train on and score: ordinary tokens, of different lengths, some pairs more than once. */
export const sequences: readonly (readonly number[])[] = [
  [7, 20, 33, 46, 59, 72],
  [8, 21, 34, 47],
  [9, 22, 35, 7, 20, 33, 46, 9, 22],
  [11, 24, 37, 50, 63],
];
/** Cross-entropy on all but the first two tokens of each: 2 + 2 + 2 less than 24, in all 16 tokens. */
export const batch: readonly TrainingSequence[] = sequences.map(ids => ({ ids, ce: weights(ids, 2) }));
export const batchTokens = 16;

/** 0 for the first `prompt` tokens, 1 for the rest. */
function weights(ids: Row, prompt = 1): number[] {
  return Array.from(ids, (_, j) => (j < prompt ? 0 : 1));
}

/** Log-probabilities of the sequences above: equal weights give equal numbers. */
export async function fingerprint(worker: Worker): Promise<number[]> {
  return (await worker.forward(sequences)).logprobs.flatMap(row => [...row]);
}

/** The whole distribution after `prefix`, by scoring each token of the vocabulary as the next. */
export async function nextProbabilities(
  { worker, loaded }: Subject,
  prefix: readonly number[],
): Promise<number[]> {
  const rows = Array.from({ length: loaded.vocabSize }, (_, id) => [...prefix, id]);
  const { logprobs } = await worker.forward(rows);
  return logprobs.map(row => Math.exp(row.at(-1) ?? 0));
}

export function argmax(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

/** Nearly gradient descent: with an epsilon this large, AdamW's first step is `-rate · gradient`. */
export function descent(rate: number): StepOptions['adamw'] {
  const epsilon = 1e4;
  return { learningRate: rate * epsilon, epsilon };
}

/** The norm of the gradient of one request, found by a step that moves nothing. */
export async function gradientNorm(
  worker: Worker,
  rows: readonly TrainingSequence[],
  options: Parameters<Worker['forwardBackward']>[1] = {},
): Promise<number> {
  void worker.forwardBackward(rows, options);
  return (await stepInPlace(worker)).gradNorm;
}

export function stepInPlace(worker: Worker): Promise<Result<'optimStep'>> {
  return worker.optimStep({ adamw: { learningRate: 0 } });
}

export function expectClose(found: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(found.length).toBe(expected.length);
  expect(largestDifference(found, expected)).toBeLessThanOrEqual(tolerance);
}

export function largestDifference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

export async function expectRefusal(
  outcome: Promise<unknown>,
  code: ErrorCode,
  message: RegExp = /./,
  details: Record<string, unknown> = {},
): Promise<void> {
  const matching = { code, message: expect.stringMatching(message), ...details };
  await expect(outcome).rejects.toMatchObject(matching);
}
