import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Worker } from '../../../src/worker/worker.ts';
import { occupy } from './dependencies.ts';
import { trainTwoSteps } from './saving.ts';
import {
  expectClose,
  expectRefusal,
  fingerprint,
  type OpenBackend,
  type Subject,
  sequences,
  useSubject,
} from './subject.ts';

export function requests(subject: Subject): void {
  describe('requests', () => {
    beforeAll(() => subject.fresh());

    it('are answered in the order they were sent', async () => {
      const { worker } = subject;
      const order: string[] = [];
      const note = (name: string) => () => order.push(name);
      await Promise.all([
        worker.generate(sequences, { maxNewTokens: 20, stopIds: [] }).then(note('generate')),
        worker.status().then(note('status')),
        worker.forward(sequences).then(note('forward')),
        worker.decode(sequences).then(note('decode')),
      ]);
      expect(order).toEqual(['generate', 'status', 'forward', 'decode']);
    });

    it('end with CANCELLED when their signal is aborted on the way, and the next one is answered', async () => {
      const controller = new AbortController();
      const prompts = Array.from({ length: 4000 }, () => [7]);
      let done = 0;
      const answers = subject.worker.generate(prompts, {
        maxNewTokens: 100,
        stopIds: [],
        signal: controller.signal,
        onProgress: progress => {
          done = progress.done;
          controller.abort();
        },
      });
      const next = fingerprint(subject.worker);
      await expectRefusal(answers, 'CANCELLED', /generate/, { verb: 'generate' });
      expect(done).toBeLessThan(prompts.length / 2);
      expect((await next).every(Number.isFinite)).toBe(true);
    });

    it('whose signal is aborted already are not sent', async () => {
      const signal = AbortSignal.abort();
      await expectRefusal(subject.worker.status({ signal }), 'CANCELLED', /status/);
      await expectRefusal(subject.worker.forward(sequences, { signal }), 'CANCELLED');
    });

    it('end with TIMEOUT at their deadline, and the next one is answered', async () => {
      const prompts = Array.from({ length: 4000 }, () => [7]);
      const options = { maxNewTokens: 100, stopIds: [], timeoutSeconds: 0.01 };
      await expectRefusal(subject.worker.generate(prompts, options), 'TIMEOUT', /0.01 s/, {
        verb: 'generate',
      });
      expect((await fingerprint(subject.worker)).every(Number.isFinite)).toBe(true);
    });
  });
}

const withModel: Record<string, (worker: Worker) => Promise<unknown>> = {
  encode: worker => worker.encode([{ prompt: 'a', completion: 'b' }]),
  decode: worker => worker.decode(sequences),
  forward: worker => worker.forward(sequences),
  generate: worker => worker.generate([[7]], { maxNewTokens: 1 }),
};

const ofTrainers: Record<string, (worker: Worker, directory: string) => Promise<unknown>> = {
  forwardBackward: worker => worker.forwardBackward([{ ids: [7, 8], ce: [0, 1] }]),
  save: (worker, directory) => worker.save(join(directory, 'never')),
};

/** The tests of this group are one story: they run in this order on one new worker. */
export function lifetime(first: Subject, open: OpenBackend): void {
  describe('a new worker', () => {
    const second = useSubject(open);

    it('refuses what needs a model until one is loaded, and says so', async () => {
      const verbs = { ...withModel, ...(second.trains ? ofTrainers : {}) };
      for (const [verb, call] of Object.entries(verbs))
        await expectRefusal(call(second.worker, second.directory), 'NO_MODEL', new RegExp(verb), { verb });
      const step = second.worker.optimStep({ adamw: { learningRate: 0.1 } });
      const code = expect.stringMatching(second.trains ? /NO_MODEL|DEPENDENCY_FAILED/ : /UNKNOWN_VERB/);
      await expect(step).rejects.toMatchObject({ code });
      expect((await second.worker.status()).model).toBeNull();
    });

    it('continues what another one saved', async ({ skip }) => {
      skip(!second.trains, 'it trains nothing');
      const path = join(first.directory, 'handed-over');
      await first.fresh();
      await trainTwoSteps(first.worker);
      await first.worker.save(path, { kind: 'trainingState' });
      await trainTwoSteps(first.worker);
      const loaded = await second.worker.load({ model: path, restoreTrainingState: true });
      await trainTwoSteps(second.worker);
      const expected = await fingerprint(first.worker);
      expectClose(await fingerprint(second.worker), expected, loaded.strictSampling ? 0 : 1e-6);
    });

    it('ends when it is closed: pending and later calls reject with CLOSED; twice is fine', async () => {
      const occupied = occupy(second.worker, new AbortController());
      const pending = [second.worker.status(), second.worker.forward(sequences)];
      const closing = [second.worker.close(), second.worker.close()];
      for (const call of [occupied, ...pending]) await expectRefusal(call, 'CLOSED');
      await Promise.all(closing);
      await second.worker.close();
      await expectRefusal(second.worker.status(), 'CLOSED');
    });
  });
}
