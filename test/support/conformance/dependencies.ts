import { beforeEach, describe, expect, it } from 'vitest';
import type { Worker } from '../../../src/worker/worker.ts';
import { batch, expectRefusal, fingerprint, gradientNorm, type Subject, sequences } from './subject.ts';

const adamw = { learningRate: 0.1 };
const badBatch = [{ ids: [7, 2 ** 30], ce: [0, 1] }];

/** Keeps the worker busy until it is aborted, so that what is sent after it waits in the queue. */
export function occupy(worker: Worker, controller: AbortController): Promise<unknown> {
  const prompts = Array.from({ length: 4000 }, () => [7]);
  const answers = worker.generate(prompts, { maxNewTokens: 100, stopIds: [], signal: controller.signal });
  answers.catch(() => {});
  return answers;
}

export function dependencies(subject: Subject): void {
  describe('a step on gradients that are not there', () => {
    let before: number[];
    beforeEach(async () => {
      await subject.fresh();
      before = await fingerprint(subject.worker);
    });
    /** Weights are as they were, and no gradient is left over: the next accumulation has the norm of a first one. */
    const expectUntouched = async () => {
      expect(await fingerprint(subject.worker)).toEqual(before);
      const norm = await gradientNorm(subject.worker, batch);
      await subject.fresh();
      expect(norm).toBeCloseTo(await gradientNorm(subject.worker, batch), 5);
    };

    it('fails when one forwardBackward failed, whatever succeeded before and after it', async () => {
      const calls = [batch, badBatch, batch].map(rows => subject.worker.forwardBackward(rows));
      const step = subject.worker.optimStep({ adamw });
      await expectRefusal(step, 'DEPENDENCY_FAILED');
      await expectRefusal(calls[1] as Promise<unknown>, 'BAD_PARAMS', /vocabulary/);
      await expectUntouched();
    });

    it('fails when it names only what succeeded before a failure: that is cleared too', async () => {
      const good = subject.worker.forwardBackward(batch);
      await expectRefusal(subject.worker.forwardBackward(badBatch), 'BAD_PARAMS');
      await expectRefusal(subject.worker.optimStep({ adamw, dependsOn: [good] }), 'DEPENDENCY_FAILED');
      await expectUntouched();
    });

    it('fails when a forwardBackward was cancelled in the queue', async () => {
      const [busy, doomed] = [new AbortController(), new AbortController()];
      const good = subject.worker.forwardBackward(batch);
      const occupied = occupy(subject.worker, busy);
      const cancelled = subject.worker.forwardBackward(batch, { signal: doomed.signal });
      const step = subject.worker.optimStep({ adamw, dependsOn: [good] });
      doomed.abort();
      busy.abort();
      await expectRefusal(occupied, 'CANCELLED');
      await expectRefusal(cancelled, 'CANCELLED');
      await expectRefusal(step, 'DEPENDENCY_FAILED');
      await expectUntouched();
    });

    it('fails when it names fewer gradients than there are, or other ones', async () => {
      const first = subject.worker.forwardBackward(batch);
      const second = subject.worker.forwardBackward(batch);
      await expectRefusal(subject.worker.optimStep({ adamw, dependsOn: [first] }), 'DEPENDENCY_FAILED');
      await expectRefusal(
        subject.worker.optimStep({ adamw, dependsOn: [first, second] }),
        'DEPENDENCY_FAILED',
      );
      await expectUntouched();
    });

    it('fails the second time, also without naming any', async () => {
      const gradients = subject.worker.forwardBackward(batch);
      await subject.worker.optimStep({ adamw: { learningRate: 0 } });
      await expectRefusal(subject.worker.optimStep({ adamw, dependsOn: [gradients] }), 'DEPENDENCY_FAILED');
      await expectRefusal(subject.worker.optimStep({ adamw }), 'DEPENDENCY_FAILED');
      await expectUntouched();
    });

    it('takes the named gradients in any order', async () => {
      const [first, second] = [subject.worker.forwardBackward(batch), subject.worker.forwardBackward(batch)];
      const step = subject.worker.optimStep({ adamw, dependsOn: [second, first] });
      expect((await step).step).toBe(1);
    });
  });

  describe('numbers that are not finite', () => {
    beforeEach(() => subject.fresh());

    it('in a gradient refuse the step and leave the weights', async () => {
      const before = await fingerprint(subject.worker);
      void subject.worker.forwardBackward(batch, { normalizers: { ce: 1e-300 } });
      await expectRefusal(subject.worker.optimStep({ adamw }), 'NON_FINITE', /norm/);
      expect(await fingerprint(subject.worker)).toEqual(before);
      void subject.worker.forwardBackward(batch);
      expect((await subject.worker.optimStep({ adamw })).step).toBe(1);
    });

    it('in a loss refuse the gradients, and the queued step fails too', async () => {
      const before = await fingerprint(subject.worker);
      const ids = [7, 20];
      const row = { ids, policyGradient: [0, 1], advantages: [0, 1], oldLogprobs: [0, -1e30] };
      const gradients = subject.worker.forwardBackward([row]);
      const step = subject.worker.optimStep({ adamw });
      await expectRefusal(gradients, 'NON_FINITE', /loss/);
      await expectRefusal(step, 'DEPENDENCY_FAILED');
      expect(await fingerprint(subject.worker)).toEqual(before);
    });

    it('in the weights are refused by whatever reads them, until another model is loaded', async () => {
      void subject.worker.forwardBackward(batch);
      await subject.worker.optimStep({ adamw: { learningRate: 1e39 } });
      await expectRefusal(subject.worker.forwardBackward(batch), 'NON_FINITE');
      await expectRefusal(subject.worker.generate(sequences, { maxNewTokens: 3 }), 'NON_FINITE');
      await expectRefusal(subject.worker.forward(sequences), 'NON_FINITE');
      await subject.fresh();
      expect((await fingerprint(subject.worker)).every(Number.isFinite)).toBe(true);
    });
  });
}
