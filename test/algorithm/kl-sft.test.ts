/** SFT held near the base: what the base gives, what is learned of it, with which weight. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { callsOf, rowsOf } from '../support/recorded-calls.ts';
import { interruptedRun, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { goldBatches, smallFacts, smallRun } from '../support/small-run.ts';
import { distribution, newBigram } from '../support/toy/bigram.ts';

const folder = workFolder();
const settings = (keys: Settings = {}, more: Settings = {}) =>
  smallRun(folder, { method: 'kl-sft', kl_sft: { top_k: 3, ...keys }, tms: {}, ...more });

describe('a run of method kl-sft', () => {
  it('learns gold and, β times, the three likeliest tokens of the base in the place of each gold token', async () => {
    const run = await recordRun(folder, settings({ beta: 0.25, direction: 'reverse' }));
    const base = newBigram(1);
    const gradients = callsOf(run.calls, 'forwardBackward');
    expect(gradients).toHaveLength(9);
    for (const [step, batch] of goldBatches(smallFacts, 9).entries()) {
      const { params, tensors } = gradients[step] as (typeof gradients)[number];
      expect(rowsOf(tensors, 'ids')).toEqual(batch.map(({ ids }) => ids));
      const weights = batch.map(one => one.weights);
      expect(rowsOf(tensors, 'ceWeights')).toEqual(weights);
      expect(rowsOf(tensors, 'matchWeights')).toEqual(weights);
      const tokens = weights.flat().reduce((sum, weight) => sum + weight, 0);
      expect(params).toMatchObject({
        ce: { normalizer: tokens },
        match: { normalizer: tokens / 0.25, direction: 'reverse' },
      });
      const expected = batch.flatMap(({ ids }) =>
        ids.flatMap((_, j) => {
          const { logprobs } = distribution(base, ids[j - 1] ?? 0);
          const best = [...logprobs.keys()]
            .sort((a, b) => (logprobs[b] ?? 0) - (logprobs[a] ?? 0))
            .slice(0, 3);
          return best.map(id => (j === 0 ? [0, 0] : [id, Math.fround(logprobs[id] ?? 0)]));
        }),
      );
      expect(tensors.targetIds?.shape).toEqual([batch.flatMap(({ ids }) => ids).length, 3]);
      const given = [...(tensors.targetLogprobs?.data ?? [])];
      expect([...(tensors.targetIds?.data ?? [])].map((id, i) => [id, given[i]])).toEqual(expected);
    }
  });

  it('stays nearer to the base than SFT does, the more so the larger β is', async () => {
    const divergence = async (method: Settings) => {
      const run = await recordRun(folder, smallRun(folder, { tms: {}, kl: { size: 4 }, ...method }));
      const name = String(method.method);
      const record = JSON.parse(readFileSync(`${run.output}/evaluation/${name}-step-000009.json`, 'utf8'));
      return record.kl.target.perSequence;
    };
    const found = [
      await divergence({ method: 'sft' }),
      await divergence({ method: 'kl-sft', kl_sft: { beta: 0.3 } }),
      await divergence({ method: 'kl-sft', kl_sft: { beta: 10 } }),
    ];
    expect(found).toEqual(found.toSorted((a, b) => b - a));
    expect(found[2]).toBeLessThan(found[0] / 2);
  });

  it('resumes to the same bytes from a state, which holds the base too', async () => {
    const whole = await recordRun(folder, settings({}, { save_steps: 2 }));
    for (const [verb, count] of [
      ['optimStep', 5],
      ['keep', 1],
      ['forward', 4],
    ] as const) {
      const stopped = await interruptedRun(folder, settings({}, { save_steps: 2 }), { verb, count });
      const resumed = await recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
      expect(callsOf(resumed.calls, 'keep').length, verb).toBe(verb === 'keep' ? 1 : 0);
      for (const file of ['metrics.jsonl', 'models/kl-sft/toy-model.json'])
        expect(readFileSync(`${stopped.output}/${file}`, 'utf8'), `${verb} ${count}`).toBe(
          readFileSync(`${whole.output}/${file}`, 'utf8'),
        );
    }
  });
});
