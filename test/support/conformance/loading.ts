import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  batch,
  descent,
  expectClose,
  expectRefusal,
  fingerprint,
  largestDifference,
  type Subject,
  sequences,
} from './subject.ts';

export function loading(subject: Subject): void {
  describe('load', () => {
    it('says what was loaded', async () => {
      const loaded = await subject.fresh();
      expect(loaded.vocabSize).toBeGreaterThanOrEqual(101);
      expect(loaded.maxPositions).toBeGreaterThanOrEqual(128);
      expect(loaded.parameterCount).toBeGreaterThan(loaded.vocabSize);
      expect(loaded.trainableParameterCount).toBe(subject.trains ? loaded.parameterCount : 0);
      expect(loaded.eosTokenIds.length).toBeGreaterThan(0);
      for (const id of loaded.eosTokenIds) expect(id).toBeLessThan(loaded.vocabSize);
      expect(loaded).toMatchObject({ dtype: 'float32', hasChatTemplate: true, optimizerSteps: 0 });
    });

    it('gives a digest of the weights when asked, the same each time', async () => {
      const first = await subject.fresh({ digest: true });
      expect(first.weightsDigest).toMatch(/^[0-9a-f]{64}$/);
      expect(await subject.fresh({ digest: true })).toEqual(first);
      expect((await subject.fresh()).weightsDigest).toBeNull();
    });

    it('is named by what the weights are asked for, where their digest is known', async () => {
      const asked = async () => {
        const { weightsDigest } = await subject.worker.forward([[7, 8]]);
        const generated = await subject.worker.generateParts([[7]], { maxNewTokens: 1 }, () => {});
        return [weightsDigest, generated.weightsDigest];
      };
      const { weightsDigest } = await subject.fresh({ digest: true });
      expect(await asked()).toEqual([weightsDigest, weightsDigest]);
      await subject.fresh();
      expect(await asked()).toEqual([null, null]);
    });

    it('is what status reports', async () => {
      const loaded = await subject.fresh();
      const status = await subject.worker.status();
      expect(status.model).toEqual(loaded);
      expect(status.pid).toBeGreaterThan(0);
    });

    it('of a path that is not there is NOT_FOUND, and the model loaded before is gone', async () => {
      await subject.fresh();
      const model = join(subject.directory, 'no', 'such', 'model');
      await expectRefusal(subject.worker.load({ model }), 'NOT_FOUND', /no\/such\/model/);
      await expectRefusal(subject.worker.forward(sequences), 'NO_MODEL');
      expect((await subject.worker.status()).model).toBeNull();
    });

    it('of an empty directory is NOT_FOUND', async () => {
      const model = mkdtempSync(join(subject.directory, 'empty-'));
      await expectRefusal(subject.worker.load({ model }), 'NOT_FOUND');
    });

    it('blends the weights with those of another model: half of each lies between the two', async ({
      skip,
    }) => {
      skip(!subject.trains, 'it trains nothing');
      const { worker, model } = subject;
      await subject.fresh();
      const base = await fingerprint(worker);
      void worker.forwardBackward(batch);
      await worker.optimStep({ adamw: descent(1e-3) });
      const tuned = await fingerprint(worker);
      const path = join(subject.directory, 'to-blend');
      const saved = await worker.save(path);
      const between = await worker.load({
        model: path,
        digest: true,
        blend: { model, revision: null, share: 0.5 },
      });
      expect(between.weightsDigest).not.toBe(saved.weightsDigest);
      expectClose(
        await fingerprint(worker),
        base.map((value, i) => (value + (tuned[i] as number)) / 2), // a step this small is nearly linear
        largestDifference(base, tuned) / 50,
      );
      const missing = { model: join(subject.directory, 'nowhere'), revision: null, share: 0.5 };
      await expectRefusal(worker.load({ model: path, blend: missing }), 'NOT_FOUND');
      await expectRefusal(
        worker.load({ model: path, blend: { model, revision: null, share: 1 } }),
        'BAD_PARAMS',
        /share/,
      );
    });

    it('refuses an unknown device and unknown keys', async () => {
      const { worker, model } = subject;
      await expectRefusal(worker.load({ model, device: 'abacus' }), 'BAD_PARAMS', /abacus/);
      await expectRefusal(worker.load({ model, sead: 1 } as never), 'BAD_PARAMS', /sead/);
    });
  });
}
