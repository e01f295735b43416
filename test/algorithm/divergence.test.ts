/** Policy–label divergence and the distance from the base, by hand. */
import { describe, expect, it } from 'vitest';
import { logprobOf, type Measured, measuredRun, samplesOf, wordsOf } from '../support/measured-run.ts';
import { callsOf } from '../support/recorded-calls.ts';
import { readRecord, recordRun, workFolder } from '../support/recorded-run.ts';
import { type Example, endId, fnv, idsOf, philox, textOf } from '../support/reference.ts';
import { examples, heldOut, smallRun } from '../support/small-run.ts';

const folder = workFolder();
let shared: Promise<Measured> | null = null;
const measured = (): Promise<Measured> => {
  shared ??= measuredRun(folder);
  return shared;
};

describe('policy–label divergence', () => {
  it('is −log p of completions with their end: a token, a sequence, in bits a byte; of each split', async () => {
    const { found, tables: weights } = await measured();
    for (const model of ['base', 'sft', 'student'] as const) {
      expectDivergence(weights[model], found[model].pld.test, heldOut);
      expectDivergence(weights[model], found[model].pld.train, examples);
    }
  });

  it('is measured on the splits and as many examples as asked', async () => {
    const run = await recordRun(
      folder,
      smallRun(folder, { method: 'sft', pld: { size: 2, splits: ['test'] }, kl: { size: 0 } }),
    );
    const { pld } = readRecord(run.output, 'evaluation', 'sft-step-000009.json');
    expect(pld.train).toBeNull();
    expect(pld.test.examples).toBe(2);
    expect(callsOf(run.calls, 'generate')).toEqual([]);
  });
});

describe('KL(base‖model)', () => {
  it('is the mean of log π_base − log π over answers that the base gave at temperature 1', async () => {
    const { found, tables: weights } = await measured();
    const samples = samplesOf(await measured());
    for (const role of ['target', 'retention'] as const) {
      const ofRole = samples[role];
      for (const model of ['base', 'sft', 'student'] as const) {
        const differences = ofRole.map(
          ({ prompt, answer }) =>
            logprobOf(weights.base, prompt, answer) - logprobOf(weights[model], prompt, answer),
        );
        const sum = differences.reduce((total, difference) => total + difference, 0);
        const tokens = ofRole.reduce((total, { answer }) => total + answer.length, 0);
        expect(found[model].kl[role]).toEqual({
          direction: 'KL(base‖model)',
          perToken: expect.closeTo(sum / tokens, 5),
          perSequence: expect.closeTo(sum / ofRole.length, 4),
          samples: ofRole.length,
        });
      }
    }
    expect(found.base.kl.target.perToken).toBeCloseTo(0, 6);
    expect(found.sft.kl.target.perToken).toBeGreaterThan(0.1);
  });

  it('asks the base once, for two test prompts and two of each retained set, with seeds of their own', async () => {
    const { run } = await measured();
    const { target, retention } = samplesOf(await measured());
    expect(target.map(({ params }) => params.maxNewTokens)).toEqual([128, 128]);
    expect(target.every(({ prompt }) => heldOut.some(example => example.prompt === textOf(prompt)))).toBe(
      true,
    );
    expect(retention.map(({ prompt }) => textOf(prompt).slice(0, 5)).toSorted()).toEqual([
      'keep ',
      'keep ',
      'which',
      'which',
    ]);
    const { samples } = readRecord(run.output, 'base-samples.json');
    const seeds = samples.map(
      ({ id, role, set }: { id: string; role: string; set: string }) =>
        philox(
          [fnv(role === 'target' ? 'target held-out' : `${role} ${set}`), 1000, ...wordsOf(id)],
          [7, fnv('base sample')],
        )[0],
    );
    const asked = [...target, ...retention];
    expect(new Set(asked.map(({ seed }) => seed))).toEqual(new Set(seeds));
    for (const { params } of asked) expect(params).toMatchObject({ temperature: 1, topP: 1, topK: 0 });
  });
});

/** Which three of the split is decided by a hash: one choice of three must give all the numbers. */
function expectDivergence(
  table: Float32Array,
  found: Record<string, number>,
  split: readonly Example[],
): void {
  const candidates = triplesOf(split).map(three => {
    const nll = -three.reduce(
      (sum, { prompt, completion }) => sum + logprobOf(table, idsOf(prompt), [...idsOf(completion), endId]),
      0,
    );
    const bytes = three.reduce((sum, { completion }) => sum + completion.length, 0);
    return { nll, bytes, tokens: bytes + 3 };
  });
  const fitting = candidates.filter(
    ({ nll, bytes, tokens }) =>
      found.tokens === tokens &&
      Math.abs((found.nllPerToken as number) - nll / tokens) < 1e-5 &&
      Math.abs((found.nllPerSequence as number) - nll / 3) < 1e-4 &&
      Math.abs((found.bitsPerByte as number) - nll / Math.LN2 / bytes) < 1e-4,
  );
  expect(fitting.length, JSON.stringify(found)).toBeGreaterThan(0);
  expect(found.examples).toBe(3);
}

function triplesOf<T>(values: readonly T[]): T[][] {
  return values.flatMap((a, i) =>
    values.slice(i + 1).flatMap((b, j) => values.slice(i + j + 2).map(c => [a, b, c])),
  );
}
