/** Dynamic fine-tuning: the tokens of SFT, each in the loss that counts it by its probability, and the mean over them. */
import { describe, expect, it } from 'vitest';
import { callsOf, readRecord, recordRun, rowsOf, workFolder } from '../support/recorded-run.ts';
import { goldBatches, smallFacts, smallRun } from '../support/small-run.ts';

const folder = workFolder();

describe('a run of method dft', () => {
  it('asks for −p·log p of the tokens that SFT learns, divided by how many they are', async () => {
    const run = await recordRun(folder, smallRun(folder, { method: 'dft', tms: {} }));
    const calls = callsOf(run.calls, 'forwardBackward');
    const expected = goldBatches(smallFacts, 9);
    expect(
      calls.map(({ tensors }) => {
        const weights = rowsOf(tensors, 'dftWeights');
        return rowsOf(tensors, 'ids').map((ids, i) => ({ ids, weights: weights[i] }));
      }),
    ).toEqual(expected);
    for (const [i, { params }] of calls.entries()) {
      const tokens = (expected[i] ?? []).flatMap(({ weights }) => weights).reduce((sum, w) => sum + w, 0);
      expect([params.ce, params.dft, params.policyGradient]).toEqual([null, { normalizer: tokens }, null]);
    }
    expect(Object.keys(readRecord(run.output, 'plan.json').trainings)).toEqual(['dft']);
  });
});
