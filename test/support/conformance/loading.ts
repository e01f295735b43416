import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectRefusal, type Subject, sequences } from './subject.ts';

export function loading(subject: Subject): void {
  describe('load', () => {
    it('says what was loaded', async () => {
      const loaded = await subject.fresh();
      expect(loaded.vocabSize).toBeGreaterThanOrEqual(101);
      expect(loaded.maxPositions).toBeGreaterThanOrEqual(128);
      expect(loaded.parameterCount).toBeGreaterThan(loaded.vocabSize);
      expect(loaded.trainableParameterCount).toBe(loaded.parameterCount);
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

    it('refuses an unknown device and unknown keys', async () => {
      const { worker, model } = subject;
      await expectRefusal(worker.load({ model, device: 'abacus' }), 'BAD_PARAMS', /abacus/);
      await expectRefusal(worker.load({ model, sead: 1 } as never), 'BAD_PARAMS', /sead/);
    });
  });
}
