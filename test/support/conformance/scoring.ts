import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { tensorOf } from '../../../src/worker/tensors.ts';
import {
  batch,
  descent,
  expectClose,
  expectRefusal,
  fingerprint,
  largestDifference,
  nextProbabilities,
  type Subject,
  sequences,
} from './subject.ts';

/** What trainers give beside log-probabilities. */
export function entropies(subject: Subject): void {
  describe('entropy', () => {
    beforeAll(() => subject.fresh());

    it('is that of the distribution that each token was drawn from', async () => {
      const prefix = [7, 20, 33];
      const probabilities = await nextProbabilities(subject, prefix);
      const expected = probabilities.reduce((sum, p) => sum - p * Math.log(p), 0);
      const { entropy } = await subject.worker.forward([[...prefix, 50]], { returnEntropy: true });
      expect(entropy?.[0]?.[3]).toBeCloseTo(expected, 3);
    });

    it('is 0 for the first token', async () => {
      const { entropy } = await subject.worker.forward([[7], ...sequences], { returnEntropy: true });
      expect(entropy?.map(row => row[0])).toEqual([0, 0, 0, 0, 0]);
    });
  });
}

export function scoring(subject: Subject): void {
  describe('forward', () => {
    beforeAll(() => subject.fresh());

    it('gives log-probabilities of a distribution: over the vocabulary they sum to 1', async () => {
      for (const prefix of sequences) {
        const probabilities = await nextProbabilities(subject, prefix);
        expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 4);
      }
    });

    it('gives 0 for the first token, which nothing predicts', async () => {
      const { logprobs, entropy } = await subject.worker.forward([[7], ...sequences]);
      expect(logprobs.map(row => row[0])).toEqual([0, 0, 0, 0, 0]);
      expect(entropy).toBeNull();
    });

    it('gives what is behind a start the values that it has in the whole, and 0 to what is before it', async () => {
      const [context, ends] = [
        [7, 20, 33],
        [[50, 8], [9], [50, 8, 21], [9]],
      ];
      const asked = [...ends.map(end => [...context, ...end]), [8, 7, 20]];
      const starts = [3, 3, 3, 3, 1];
      const { logprobs } = await subject.worker.forward(asked, { starts });
      const whole = await subject.worker.forward(asked);
      for (const [i, row] of logprobs.entries()) {
        const start = starts[i] as number;
        expect([...row.subarray(0, start)]).toEqual(Array(start).fill(0));
        expectClose([...row.subarray(start)], [...(whole.logprobs[i] ?? [])].slice(start), 1e-4);
      }
      expect(logprobs[1]?.at(-1)).toBe(logprobs[3]?.at(-1)); // one and the same question
    });

    it('refuses a start that has nothing before it', async () => {
      await expectRefusal(subject.worker.forward([[7, 8]], { starts: [0] }), 'BAD_PARAMS', /starts at 0/);
    });

    it('gives the likeliest ids in the place of a token, and of a small vocabulary all', async ({ skip }) => {
      skip(!subject.trains, 'it trains nothing');
      const prefix = [7, 20, 33];
      const probabilities = await nextProbabilities(subject, prefix);
      const best = [...probabilities.keys()].sort(
        (a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0),
      );
      const { top } = await subject.worker.forward([[...prefix, 50], [8]], { topK: 3 });
      expect(top?.map(({ k, ids }) => [k, ids.length])).toEqual([
        [3, 12],
        [3, 3],
      ]);
      expect([...(top?.[0]?.ids ?? [])].slice(9)).toEqual(best.slice(0, 3));
      expect([...(top?.[0]?.ids ?? [])].slice(0, 3)).toEqual([0, 0, 0]);
      const found = [...(top?.[0]?.logprobs ?? [])].slice(9).map(Math.exp);
      expectClose(
        found,
        best.slice(0, 3).map(id => probabilities[id] ?? 0),
        1e-5,
      );
      const all = await subject.worker.forward([[7, 8]], { topK: 100_000 });
      expect(all.top?.[0]?.k).toBe(subject.loaded.vocabSize);
      expect((await subject.worker.forward([[7]])).top).toBeNull();
    });

    it('answers from weights that are kept while others are trained, and that may follow them', async ({
      skip,
    }) => {
      skip(!subject.trains, 'it trains nothing');
      const { worker, directory } = subject;
      await subject.fresh();
      await expectRefusal(worker.forward(sequences, { kept: true }), 'BAD_PARAMS', /nothing is kept/);
      await expectRefusal(worker.keep({ share: 0.5 }), 'BAD_PARAMS', /nothing is kept/);
      const kept = async () =>
        (await worker.forward(sequences, { kept: true })).logprobs.flatMap(row => [...row]);
      const base = await fingerprint(worker);
      expect((await worker.keep()).bytes).toBeGreaterThan(0);
      void worker.forwardBackward(batch);
      await worker.optimStep({ adamw: descent(1e-3) });
      const tuned = await fingerprint(worker);
      const distance = largestDifference(base, tuned);
      expect(await kept()).toEqual(base);
      await worker.keep({ share: 0.5 });
      const between = base.map((value, i) => (value + (tuned[i] ?? Number.NaN)) / 2);
      expectClose(await kept(), between, distance / 50);
      const halfway = await kept();
      const state = join(directory, 'state-with-kept');
      await worker.save(state, { kind: 'trainingState' });
      await subject.fresh();
      await expectRefusal(worker.forward(sequences, { kept: true }), 'BAD_PARAMS', /nothing is kept/);
      await worker.load({ model: state, restoreTrainingState: true });
      expect(await kept()).toEqual(halfway);
      expect(await fingerprint(worker)).toEqual(tuned);
      await worker.keep({ model: subject.model });
      expectClose(await kept(), base, 1e-5);
      await expectRefusal(worker.keep({ model: subject.model, share: 0.5 }), 'BAD_PARAMS', /share must be 1/);
      await subject.fresh();
    });

    it('tells how far its distributions are from those of another model, over the whole vocabulary', async ({
      skip,
    }) => {
      skip(!subject.trains, 'it trains nothing');
      const { worker, model, loaded } = subject;
      await subject.fresh();
      const all = { topK: loaded.vocabSize };
      const prefix = [7, 20, 33, 46];
      const distributionOf = async () => {
        const { ids = [], logprobs = [] } = (await worker.forward([prefix], all)).top?.[0] ?? {};
        const own = [...ids.keys()].slice(-loaded.vocabSize).map(i => [ids[i], logprobs[i] ?? 0] as const);
        return new Map(own);
      };
      const base = await distributionOf();
      for (let step = 0; step < 20; step++) {
        void worker.forwardBackward(batch);
        await worker.optimStep({ adamw: descent(0.05) });
      }
      const tuned = await distributionOf();
      const kl = (p: typeof base, q: typeof base) =>
        [...p].reduce((sum, [id, logprob]) => sum + Math.exp(logprob) * (logprob - (q.get(id) ?? 0)), 0);
      const other = { model, revision: null };
      const { divergence } = await worker.forward([[7], prefix], { other });
      expect(divergence?.to.map(({ length }) => length)).toEqual([1, 4]);
      expect([divergence?.to[0]?.[0], divergence?.from[1]?.[0]]).toEqual([0, 0]);
      expect(kl(tuned, base)).toBeGreaterThan(1e-4);
      expect((divergence?.to[1]?.[3] ?? 0) / kl(tuned, base)).toBeCloseTo(1, 2);
      expect((divergence?.from[1]?.[3] ?? 0) / kl(base, tuned)).toBeCloseTo(1, 2);
      expect(await distributionOf()).toEqual(tuned); // its own weights are back
      const missing = { model: join(subject.directory, 'nowhere'), revision: null };
      await expectRefusal(worker.forward([prefix], { other: missing }), 'NOT_FOUND');
      await subject.fresh();
    });

    it('scores a token from those before it: neither from later ones nor from other sequences', async () => {
      const together = await subject.worker.forward(sequences);
      for (const [i, ids] of sequences.entries()) {
        const alone = await subject.worker.forward([ids]);
        const begun = await subject.worker.forward([ids.slice(0, -1)]);
        expectClose([...(alone.logprobs[0] ?? [])], [...(together.logprobs[i] ?? [])], 1e-5);
        expectClose([...(begun.logprobs[0] ?? [])], [...(alone.logprobs[0] ?? [])].slice(0, -1), 1e-5);
      }
    });

    it('refuses what the model cannot take', async () => {
      const { worker, loaded } = subject;
      const outside = { data: { sequence: 1, token: 2 } };
      await expectRefusal(
        worker.forward([[7], [7, 8, loaded.vocabSize]]),
        'BAD_PARAMS',
        /vocabulary/,
        outside,
      );
      await expectRefusal(worker.forward([[7], [7, 8, -1]]), 'BAD_PARAMS', /-1/, outside);
      await expectRefusal(worker.forward([[7], []]), 'BAD_PARAMS', /sequence 1 has 0/);
      await expectRefusal(worker.forward([]), 'BAD_PARAMS', /at least one/);
      const tooLong = new Array((loaded.maxPositions ?? 0) + 1).fill(7);
      if (loaded.maxPositions)
        await expectRefusal(worker.forward([tooLong]), 'BAD_PARAMS', /positions|taken/);
    });

    it('refuses offsets, tensors and keys that do not fit', async () => {
      const ids = tensorOf('i32', [7, 8, 9]);
      const call = (
        tensors: object,
        params: object = { returnEntropy: false, topK: 0, kept: false, other: null },
      ) => subject.channel.call('forward', params as never, tensors as never);
      for (const offsets of [[], [0], [0, 2], [0, 4], [1, 3], [0, 2, 1, 3]])
        await expectRefusal(call({ ids, offsets: tensorOf('i32', offsets) }), 'BAD_PARAMS');
      const offsets = tensorOf('i32', [0, 3]);
      await expectRefusal(call({ ids }), 'BAD_PARAMS', /offsets is missing/);
      await expectRefusal(call({ ids, offsets, seeds: ids }), 'BAD_PARAMS', /seeds/);
      await expectRefusal(call({ ids: tensorOf('f32', [7, 8, 9]), offsets }), 'BAD_PARAMS', /i32/);
      await expectRefusal(call({ ids, offsets }, { returnEntropie: true }), 'BAD_PARAMS', /returnEntropie/);
    });
  });
}
