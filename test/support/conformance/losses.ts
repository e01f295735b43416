import { beforeAll, describe, expect, it } from 'vitest';
import type { GradientOptions, TrainingSequence } from '../../../src/worker/worker.ts';
import {
  batch,
  batchTokens,
  descent,
  expectClose,
  expectRefusal,
  gradientNorm,
  type Subject,
  sequences,
  stepInPlace,
} from './subject.ts';

/** Weights never move in these tests: each accumulation is followed by a step at learning rate 0. */
export function losses(subject: Subject): void {
  const ids = [7, 20, 33, 46];
  /** Weight on the last token alone, so that losses and gradients can be computed by hand from its log-probability. */
  const last = [0, 0, 0, 1];

  const logprobOfLast = async () => (await subject.worker.forward([ids])).logprobs[0]?.[3] ?? Number.NaN;
  const lossOf = async (row: TrainingSequence, options: GradientOptions = {}) => {
    const gradients = subject.worker.forwardBackward([row], options);
    await stepInPlace(subject.worker);
    return (await gradients).loss;
  };
  const normOf = (row: TrainingSequence, options: GradientOptions = {}) =>
    gradientNorm(subject.worker, [row], options);

  describe('forwardBackward', () => {
    beforeAll(() => subject.fresh());

    it('ce is minus the sum of weight · log-probability over the normaliser', async () => {
      const { logprobs } = await subject.worker.forward(sequences);
      const weighted = sequences.map((row, i) => ({
        ids: row,
        ce: row.map((_, j) => (j === 0 ? 0 : 0.5 + i)),
      }));
      const lossSum = weighted
        .flatMap(({ ce }, i) => ce.map((weight, j) => -weight * (logprobs[i]?.[j] ?? 0)))
        .reduce((sum, loss) => sum + loss);
      const weightSum = 5 * 0.5 + 3 * 1.5 + 8 * 2.5 + 4 * 3.5;
      const gradients = subject.worker.forwardBackward(weighted, { normalizers: { ce: 10 } });
      await stepInPlace(subject.worker);
      const { loss, components, tokens, microBatches } = await gradients;
      expect(components.ce?.lossSum).toBeCloseTo(lossSum, 2);
      expect(components.ce).toMatchObject({ weightSum, tokenCount: 20 });
      expect(loss).toBeCloseTo(lossSum / 10, 3);
      expect({ tokens, hasRun: microBatches >= 1 }).toEqual({ tokens: 24, hasRun: true });
    });

    it('takes the mean over the weights when no normaliser is given', async () => {
      const { loss, components } = await subject.worker.forwardBackward(batch);
      await stepInPlace(subject.worker);
      expect(components.ce?.weightSum).toBe(batchTokens);
      expect(loss).toBeCloseTo((components.ce?.lossSum ?? 0) / batchTokens, 6);
    });

    it('dft is the cross-entropy of each token scaled by its probability, in loss and in gradient', async () => {
      const logprob = await logprobOfLast();
      expect(await lossOf({ ids, dft: last })).toBeCloseTo(-Math.exp(logprob) * logprob, 5);
      const expected = Math.exp(logprob) * (await normOf({ ids, ce: last }));
      expect((await normOf({ ids, dft: last })) / expected).toBeCloseTo(1, 3);
    });

    it('policyGradient is minus advantage · ratio, and its slope so many times that of ce', async () => {
      const logprob = await logprobOfLast();
      const ce = await normOf({ ids, ce: last });
      const advantages = [0, 0, 0, -2];
      const onPolicy = { ids, policyGradient: last, advantages };
      expect(await lossOf(onPolicy)).toBeCloseTo(2, 5);
      expect((await normOf(onPolicy)) / (2 * ce)).toBeCloseTo(1, 3);
      const offPolicy = { ...onPolicy, oldLogprobs: [0, 0, 0, logprob - Math.log(1.5)] };
      expect(await lossOf(offPolicy)).toBeCloseTo(3, 4);
      expect((await normOf(offPolicy)) / (3 * ce)).toBeCloseTo(1, 3);
    });

    it('policyGradient clips the ratio where that makes the loss larger, and then has no slope', async () => {
      const logprob = await logprobOfLast();
      const ce = await normOf({ ids, ce: last });
      const clip = { clipLow: 0.2, clipHigh: 0.3 };
      const at = (ratio: number, advantage: number) => ({
        ids,
        policyGradient: last,
        advantages: [0, 0, 0, advantage],
        oldLogprobs: [0, 0, 0, logprob - Math.log(ratio)],
      });
      const cases = [
        { ratio: 1.5, advantage: 1, loss: -1.3, slope: 0 },
        { ratio: 1.5, advantage: -1, loss: 1.5, slope: 1.5 },
        { ratio: 0.5, advantage: 1, loss: -0.5, slope: 0.5 },
        { ratio: 0.5, advantage: -1, loss: 0.8, slope: 0 },
        { ratio: 1.1, advantage: 1, loss: -1.1, slope: 1.1 },
      ];
      for (const { ratio, advantage, loss, slope } of cases) {
        expect(await lossOf(at(ratio, advantage), clip)).toBeCloseTo(loss, 4);
        expect((await normOf(at(ratio, advantage), clip)) / ce).toBeCloseTo(slope, 3);
      }
      expect(await lossOf(at(1.5, 1), { clipLow: 0.2 })).toBeCloseTo(-1.5, 4);
    });

    it('policyGradient adds the k3 estimate of KL(policy‖reference)', async () => {
      const logprob = await logprobOfLast();
      const ce = await normOf({ ids, ce: last });
      const difference = 0.7; // log reference - log policy
      const row = {
        ids,
        policyGradient: last,
        advantages: [0, 0, 0, 0],
        referenceLogprobs: [0, 0, 0, logprob + difference],
      };
      const options = { klCoefficient: 0.5 };
      const k3 = Math.exp(difference) - difference - 1;
      expect(await lossOf(row, options)).toBeCloseTo(0.5 * k3, 4);
      const slope = 0.5 * (Math.exp(difference) - 1);
      expect((await normOf(row, options)) / (slope * ce)).toBeCloseTo(1, 3);
    });

    it('match is the divergence from a distribution over candidates and all others, either way', async () => {
      const given = [0.5, 0.3]; // 0.2 for all others
      const candidates = [46, 50];
      const own = await Promise.all(
        candidates.map(async id => {
          const { logprobs } = await subject.worker.forward([[7, 20, 33, id]]);
          return Math.exp(logprobs[0]?.[3] ?? Number.NaN);
        }),
      );
      const withRest = (values: number[]) => [...values, 1 - values.reduce((sum, value) => sum + value)];
      const kl = (of: number[], other: number[]) =>
        of.reduce((sum, value, i) => sum + value * Math.log(value / (other[i] ?? Number.NaN)), 0);
      const table = (values: number[]) => [...Array(6).fill(0), ...values];
      const row = {
        ids,
        match: last,
        targetIds: table(candidates),
        targetLogprobs: table(given.map(Math.log)),
      };
      const [p, q] = [withRest(given), withRest(own)];
      expect(await lossOf(row)).toBeCloseTo(kl(p, q), 4);
      expect(await lossOf(row, { direction: 'reverse' })).toBeCloseTo(kl(q, p), 4);
      const { components } = await subject.worker.forwardBackward([row], { normalizers: { match: 4 } });
      await stepInPlace(subject.worker);
      expect(components.match).toMatchObject({ weightSum: 1, tokenCount: 1 });
      // Given its own distribution there is nothing to learn; given one id for certain it is the cross-entropy of that id.
      const same = { ...row, targetLogprobs: table(own.map(Math.log)) };
      expect(await lossOf(same)).toBeCloseTo(0, 4);
      const certain = { ids, match: last, targetIds: ids, targetLogprobs: [0, 0, 0, 0] };
      const [found, ce] = [await normOf(certain), await normOf({ ids, ce: last })];
      expect(found / ce).toBeCloseTo(1, 3);
    });

    it('match follows its slope: a step against the gradient lowers it by the square of its norm', async () => {
      const logprobs = [0.5, 0.3].map(Math.log);
      const table = (values: number[]) => [...Array(6).fill(0), ...values];
      const row = { ids, match: last, targetIds: table([46, 50]), targetLogprobs: table(logprobs) };
      for (const direction of ['forward', 'reverse'] as const) {
        await subject.fresh();
        const [before, norm] = [await lossOf(row, { direction }), await normOf(row, { direction })];
        const rate = 1e-2 / norm ** 2;
        void subject.worker.forwardBackward([row], { direction });
        await subject.worker.optimStep({ adamw: descent(rate) });
        expect((before - (await lossOf(row, { direction }))) / (rate * norm ** 2)).toBeCloseTo(1, 1);
      }
      await subject.fresh();
    });

    it('adds components with normalisers of their own', async () => {
      const ce = await lossOf({ ids, ce: last });
      const dft = await lossOf({ ids, dft: last });
      const both = await lossOf({ ids, ce: last, dft: last }, { normalizers: { ce: 2, dft: 4 } });
      expect(both).toBeCloseTo(ce / 2 + dft / 4, 5);
      const norms = [await normOf({ ids, ce: last }), await normOf({ ids, dft: last })] as const;
      const sum = await normOf({ ids, ce: last, dft: last }, { normalizers: { ce: 2, dft: 4 } });
      expect(sum / (norms[0] / 2 + norms[1] / 4)).toBeCloseTo(1, 3);
    });

    it('reports the log-probabilities and entropies of all its tokens as forward does', async () => {
      const scores = await subject.worker.forward(sequences, { returnEntropy: true });
      const gradients = subject.worker.forwardBackward(batch, { returnLogprobs: true, returnEntropy: true });
      await stepInPlace(subject.worker);
      const { logprobs, entropy } = await gradients;
      for (const i of sequences.keys()) {
        expectClose([...(logprobs?.[i] ?? [])], [...(scores.logprobs[i] ?? [])], 1e-4);
        expectClose([...(entropy?.[i] ?? [])], [...(scores.entropy?.[i] ?? [])], 1e-4);
      }
    });

    it('a token of weight 0 matters only as context: what follows the last weighted one changes nothing', async () => {
      const row = { ids: [...ids, 60, 61], ce: [...last, 0, 0] };
      const other = { ids: [...ids, 90, 15, 16], ce: [...last, 0, 0, 0] };
      const unweighted = { ids: [30, 31, 32] };
      const expected = await normOf({ ids, ce: last });
      for (const rows of [[row], [other], [unweighted, row, { ids: [44] }]])
        expect((await gradientNorm(subject.worker, rows)) / expected).toBeCloseTo(1, 4);
      expect(await lossOf(row)).toBeCloseTo(await lossOf(other), 4);
    });

    it('refuses what cannot make a loss', async () => {
      const { worker, loaded } = subject;
      const nan = [0, 0, 0, Number.NaN];
      const cases: [TrainingSequence[], GradientOptions, RegExp][] = [
        [[{ ids }], {}, /./],
        [[{ ids, ce: [0, 0, 0, 0] }], { normalizers: { ce: 1 } }, /every loss weight is 0/],
        [[{ ids, ce: [0, 0, 0, 0] }], {}, /./],
        [[{ ids, ce: last }], { normalizers: { ce: 0 } }, /normalizer/],
        [[{ ids, ce: [1, 0, 0, 1] }], {}, /first/],
        [[{ ids, ce: nan }], { normalizers: { ce: 1 } }, /finite/],
        [[{ ids, policyGradient: last }], {}, /advantages/],
        [[{ ids, policyGradient: last, advantages: nan }], {}, /finite/],
        [[{ ids, policyGradient: last, advantages: last }], { klCoefficient: 1 }, /reference/i],
        [[{ ids: [7, loaded.vocabSize], ce: [0, 1] }], {}, /vocabulary/],
        [[{ ids, match: last }], {}, /targetIds/],
        [
          [{ ids, match: last, targetIds: [0, 0, 0, loaded.vocabSize], targetLogprobs: [0, 0, 0, -1] }],
          {},
          /vocabulary/,
        ],
        [[{ ids, match: last, targetIds: ids, targetLogprobs: last }], {}, /at most 1 together/],
        [
          [{ ids, match: last, targetIds: [0, 0, 0, 0, 0, 0, 46, 46], targetLogprobs: Array(8).fill(-2) }],
          {},
          /one stands twice/,
        ],
        [[{ ids: [], ce: [] }], { normalizers: { ce: 1 } }, /0 tokens/],
        [[], {}, /./],
      ];
      for (const [rows, options, message] of cases)
        await expectRefusal(worker.forwardBackward(rows, options), 'BAD_PARAMS', message);
      await expectRefusal(stepInPlace(worker), 'DEPENDENCY_FAILED');
    });
  });
}
