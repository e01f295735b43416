import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Result } from '../../../src/worker/protocol.ts';
import type { Worker } from '../../../src/worker/worker.ts';
import { batch, expectClose, expectRefusal, fingerprint, type Subject, sequences } from './subject.ts';

/** Two steps whose result depends on the moments that earlier steps left. */
export async function trainTwoSteps(worker: Worker): Promise<void> {
  for (const learningRate of [0.02, 0.01]) {
    void worker.forwardBackward(batch);
    await worker.optimStep({ adamw: { learningRate } });
  }
}

export function saving(subject: Subject): void {
  describe('save and load', () => {
    let path: string;
    let count = 0;
    beforeEach(async () => {
      await subject.fresh();
      await trainTwoSteps(subject.worker);
      count += 1;
      path = join(subject.directory, `saved-${count}`, 'model');
    });

    it('bring back the weights to the last bit, with a new optimiser', async () => {
      const expected = await fingerprint(subject.worker);
      const { weightsDigest } = await subject.worker.save(path);
      expect((await subject.worker.status()).model?.weightsDigest).toBe(weightsDigest);
      await subject.fresh();
      const loaded = await subject.worker.load({ model: path, digest: true });
      expect(loaded).toMatchObject({ weightsDigest, optimizerSteps: 0 });
      expect(await fingerprint(subject.worker)).toEqual(expected);
    });

    it('name each file with its size and SHA-256, and leave nothing else', async () => {
      const saved = await subject.worker.save(path, { kind: 'trainingState' });
      expect(saved.path).toBe(path);
      expect(readdirSync(join(path, '..'))).toEqual(['model']);
      expect(saved.files.map(({ name }) => name).toSorted()).toEqual(readdirSync(path).toSorted());
      for (const { name, bytes, sha256 } of saved.files) {
        const content = readFileSync(join(path, name));
        expect({ bytes, sha256 }).toEqual({ bytes: content.length, sha256: hash(content) });
      }
      expect(saved.bytes).toBe(saved.files.reduce((sum, file) => sum + file.bytes, 0));
    });

    it('continue training from a saved state as if nothing had been between', async () => {
      await subject.worker.save(path, { kind: 'trainingState' });
      await trainTwoSteps(subject.worker);
      const expected = await fingerprint(subject.worker);
      await subject.fresh();
      const restored = await subject.worker.load({ model: path, restoreTrainingState: true });
      expect(restored.optimizerSteps).toBe(2);
      await trainTwoSteps(subject.worker);
      expectClose(await fingerprint(subject.worker), expected, restored.strictSampling ? 0 : 1e-6);
      expect((await subject.worker.status()).model?.optimizerSteps).toBe(4);
    });

    it('give the same digest to the same weights, and another one to others', async () => {
      const first = await subject.worker.save(path);
      const again = await subject.worker.save(`${path}-again`, { kind: 'trainingState' });
      expect(again.weightsDigest).toBe(first.weightsDigest);
      await trainTwoSteps(subject.worker);
      expect((await subject.worker.status()).model?.weightsDigest).toBeNull();
      expect((await subject.worker.forward(sequences)).weightsDigest).toBeNull();
      expect((await subject.worker.save(`${path}-other`)).weightsDigest).not.toBe(first.weightsDigest);
    });

    it('keep accumulated gradients: a save between gradients and step changes nothing', async () => {
      void subject.worker.forwardBackward(batch);
      const step = { adamw: { learningRate: 0.01 } };
      const expected = await subject.worker.optimStep(step);
      const weights = await fingerprint(subject.worker);
      await subject.fresh();
      await trainTwoSteps(subject.worker);
      const before = await fingerprint(subject.worker);
      void subject.worker.forwardBackward(batch);
      await subject.worker.save(path);
      expect(await subject.worker.optimStep(step)).toEqual(expected);
      expect(await fingerprint(subject.worker)).toEqual(weights);
      expect(weights).not.toEqual(before);
    });

    it('find no training state where only weights were saved', async () => {
      await subject.worker.save(path);
      const restored = subject.worker.load({ model: path, restoreTrainingState: true });
      await expectRefusal(restored, 'NOT_FOUND', /training/);
    });

    it('refuse a path that exists, and leave what is there', async () => {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'precious'), 'kept');
      await expectRefusal(subject.worker.save(path), 'BAD_PARAMS', /saved/);
      await expect(subject.worker.save(path)).rejects.toMatchObject({ data: { path, reason: 'exists' } });
      await expectRefusal(subject.worker.save(join(path, 'precious')), 'BAD_PARAMS', /precious/);
      expect(readdirSync(path)).toEqual(['precious']);
      expect(readFileSync(join(path, 'precious'), 'utf8')).toBe('kept');
      expect(readdirSync(join(path, '..'))).toEqual(['model']);
    });

    it('fail where nothing can be written, and the worker goes on', async () => {
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, 'a file');
      await expectRefusal(subject.worker.save(join(path, 'below')), 'SAVE_FAILED');
      expect(readdirSync(join(path, '..'))).toEqual(['model']);
      await subject.worker.save(`${path}-2`);
      expect(readdirSync(join(path, '..'))).toEqual(['model', 'model-2']);
    });

    it('know a broken file of weights or of state', async () => {
      const saved = await subject.worker.save(path, { kind: 'trainingState' });
      await subject.worker.save(`${path}-weights`);
      const weightsOnly = new Set(readdirSync(`${path}-weights`));
      const ofState = largest(saved.files.filter(({ name }) => !weightsOnly.has(name)));
      truncateSync(join(path, ofState.name), Math.floor(ofState.bytes / 2));
      const restored = subject.worker.load({ model: path, restoreTrainingState: true });
      await expectRefusal(restored, 'BAD_MODEL', new RegExp(ofState.name));
      const ofWeights = largest(saved.files.filter(({ name }) => weightsOnly.has(name)));
      truncateSync(join(path, ofWeights.name), Math.floor(ofWeights.bytes / 2));
      await expectRefusal(subject.worker.load({ model: path }), 'BAD_MODEL', new RegExp(ofWeights.name));
      await expectRefusal(subject.worker.forward([[7, 8]]), 'NO_MODEL');
    });
  });
}

type SavedFile = Result<'save'>['files'][number];

function largest(files: readonly SavedFile[]): SavedFile {
  return files.toSorted((a, b) => b.bytes - a.bytes)[0] as SavedFile;
}

function hash(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
