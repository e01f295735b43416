import { beforeEach, describe, expect, it } from 'vitest';
import type { Gradients, StepOptions } from '../../../src/worker/worker.ts';
import {
  batch,
  batchTokens,
  descent,
  expectClose,
  expectRefusal,
  fingerprint,
  gradientNorm,
  largestDifference,
  type Subject,
  sequences,
  stepInPlace,
} from './subject.ts';

const normalizers = { ce: batchTokens };

export function training(subject: Subject): void {
  /** Step on the whole batch. */
  const learn = async (options: Omit<StepOptions, 'dependsOn'>) => {
    const gradients = subject.worker.forwardBackward(batch);
    const { gradNorm, step } = await subject.worker.optimStep(options);
    return { loss: (await gradients).loss, gradNorm, step };
  };

  describe('optimStep', () => {
    beforeEach(() => subject.fresh());

    it('goes down the gradient: a small step of rate r lowers the loss by r · |gradient|²', async () => {
      const gradNorm = await gradientNorm(subject.worker, batch);
      const rate = 0.02 / gradNorm ** 2;
      await subject.fresh();
      const { loss } = await learn({ adamw: descent(rate) });
      const { loss: next } = await learn({ adamw: descent(0) });
      expect((loss - next) / 0.02).toBeGreaterThan(0.95);
      expect((loss - next) / 0.02).toBeLessThan(1.01);
    });

    it('corrects the bias of its moments at every step: equal gradients move the weights equally far', async () => {
      const adamw = { learningRate: 1e-4, epsilon: 1e-12 };
      const losses = [await learn({ adamw }), await learn({ adamw }), await learn({ adamw })].map(
        ({ loss }) => loss,
      );
      const [first = 0, second = 0, third = 0] = losses;
      expect(first - second).toBeGreaterThan(0);
      expect((second - third) / (first - second)).toBeCloseTo(1, 1);
    });

    it('counts the updates that rounding loses where it is asked: none of a usual size, all at rate 0', async () => {
      const updatesAt = async (learningRate: number, countUpdates: boolean) => {
        void subject.worker.forwardBackward(batch);
        return (await subject.worker.optimStep({ adamw: { learningRate }, countUpdates })).updates;
      };
      const usual = await updatesAt(0.02, true);
      expect(usual?.counted).toBeGreaterThan(10);
      expect(usual?.lost).toBe(0);
      const none = await updatesAt(0, true);
      expect(none?.lost).toBe(none?.counted);
      expect(await updatesAt(0.02, false)).toBeNull();
    });

    it('lowers the loss step by step, and counts the steps', async () => {
      const losses: number[] = [];
      for (let i = 1; i <= 12; i++) {
        const { loss, step } = await learn({ adamw: { learningRate: 0.02 } });
        expect(step).toBe(i);
        losses.push(loss);
      }
      for (const i of losses.keys()) expect(losses[i + 1] ?? 0).toBeLessThan(losses[i] ?? 0);
      expect((await subject.worker.status()).model?.optimizerSteps).toBe(12);
    });

    it('a positive advantage makes an answer more likely, a negative one less', async () => {
      const before = await fingerprint(subject.worker);
      const rows = sequences.map((ids, i) => ({
        ids,
        policyGradient: ids.map((_, j) => (j === 0 ? 0 : 1)),
        advantages: ids.map(() => (i % 2 === 0 ? 1 : -1)),
      }));
      void subject.worker.forwardBackward(rows);
      await subject.worker.optimStep({ adamw: { learningRate: 0.01 } });
      const change = (await subject.worker.forward(sequences)).logprobs.map(row =>
        row.reduce((a, b) => a + b, 0),
      );
      const sums = sequences.map((ids, i) => {
        const start = sequences.slice(0, i).reduce((sum, row) => sum + row.length, 0);
        return before.slice(start, start + ids.length).reduce((a, b) => a + b, 0);
      });
      expect(change.map((sum, i) => Math.sign(sum - (sums[i] ?? 0)))).toEqual([1, -1, 1, -1]);
    });

    it('hyper-parameters come with each step: at learning rate 0 nothing moves', async () => {
      const before = await fingerprint(subject.worker);
      await learn({ adamw: { learningRate: 0, weightDecay: 1 } });
      expect(await fingerprint(subject.worker)).toEqual(before);
      await learn({ adamw: { learningRate: 0.01 } });
      expect(largestDifference(await fingerprint(subject.worker), before)).toBeGreaterThan(1e-3);
    });

    it('weight decay is decoupled: learning rate · decay = 1 leaves weights of 0, which know nothing', async () => {
      await learn({ adamw: { learningRate: 2 ** -20, weightDecay: 2 ** 20 } });
      const uniform = -Math.log(subject.loaded.vocabSize);
      const { logprobs } = await subject.worker.forward([[7, 20, 33]]);
      expectClose([...(logprobs[0] ?? [])], [0, uniform, uniform], 1e-3);
    });

    it('maxGradNorm scales the gradient down, and only down', async () => {
      const gradNorm = await gradientNorm(subject.worker, batch);
      const weightsAfter = async (rate: number, maxGradNorm?: number) => {
        await subject.fresh();
        const options = { adamw: descent(rate), ...(maxGradNorm && { maxGradNorm }) };
        expect((await learn(options)).gradNorm / gradNorm).toBeCloseTo(1, 4);
        return fingerprint(subject.worker);
      };
      const rate = 0.1 / gradNorm ** 2;
      expectClose(await weightsAfter(2 * rate, gradNorm / 2), await weightsAfter(rate), 1e-4);
      expectClose(await weightsAfter(rate, gradNorm * 2), await weightsAfter(rate), 1e-6);
      expect(largestDifference(await weightsAfter(2 * rate), await weightsAfter(rate))).toBeGreaterThan(1e-3);
    });

    it('two half batches with the normaliser of the whole are the whole batch', async () => {
      const adamw = { learningRate: 0.01, epsilon: 1e-3 };
      const whole = await learn({ adamw });
      const expected = await fingerprint(subject.worker);
      await subject.fresh();
      const halves = [batch.slice(0, 1), batch.slice(1)].map(half =>
        subject.worker.forwardBackward(half, { normalizers }),
      );
      const { gradNorm } = await subject.worker.optimStep({ adamw });
      const [first, second] = await Promise.all(halves);
      expect((first?.loss ?? 0) + (second?.loss ?? 0)).toBeCloseTo(whole.loss, 5);
      expect(gradNorm / whole.gradNorm).toBeCloseTo(1, 5);
      expectClose(await fingerprint(subject.worker), expected, 1e-5);
    });

    it('the token budget splits the work, not the result', async () => {
      const whole = await learn({ adamw: { learningRate: 0 } });
      await subject.fresh({ tokenBudget: 9 });
      const split = subject.worker.forwardBackward(batch);
      const { gradNorm } = await stepInPlace(subject.worker);
      expect((await split).microBatches).toBeGreaterThan(1);
      expect((await split).loss).toBeCloseTo(whole.loss, 5);
      expect(gradNorm / whole.gradNorm).toBeCloseTo(1, 5);
    });

    it('may be sent with its gradients without waiting, again and again', async () => {
      const adamw = { learningRate: 0.02 };
      const awaited = [await learn({ adamw }), await learn({ adamw }), await learn({ adamw })];
      await subject.fresh();
      const sent = [1, 2, 3].map(() => [
        subject.worker.forwardBackward(batch),
        subject.worker.optimStep({ adamw }),
      ]);
      const results = await Promise.all(sent.flat());
      const losses = results.filter((_, i) => i % 2 === 0) as Gradients[];
      const steps = results.filter((_, i) => i % 2 === 1) as { step: number }[];
      expect(steps.map(({ step }) => step)).toEqual([1, 2, 3]);
      const expected = awaited.map(({ loss }) => loss);
      expectClose(
        losses.map(({ loss }) => loss),
        expected,
        subject.loaded.strictSampling ? 0 : 1e-5,
      );
    });

    it('refuses hyper-parameters that make no sense, and clears the gradients', async () => {
      const before = await fingerprint(subject.worker);
      for (const adamw of [{ beta1: 1 }, { beta2: 1 }, { epsilon: -1 }, { learningRate: -1 }]) {
        void subject.worker.forwardBackward(batch);
        const step = subject.worker.optimStep({ adamw: { learningRate: 0.1, ...adamw } });
        await expectRefusal(step, 'BAD_PARAMS');
      }
      expect(await fingerprint(subject.worker)).toEqual(before);
    });
  });
}
