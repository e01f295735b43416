import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { trainTwoSteps } from './saving.ts';
import { expectRefusal, type Subject } from './subject.ts';

const manifest = 'saved_files.json';

export function damage(subject: Subject): void {
  describe('damage since a save', () => {
    let path: string;
    let count = 0;
    beforeEach(async () => {
      await subject.fresh();
      await trainTwoSteps(subject.worker);
      count += 1;
      path = join(subject.directory, `damaged-${count}`);
    });

    it.each(['weights', 'trainingState'] as const)('in any byte of %s is found by load', async kind => {
      const { files, weightsDigest } = await subject.worker.save(path, { kind });
      const options = { expectedDigest: weightsDigest, restoreTrainingState: kind === 'trainingState' };
      const load = () => subject.worker.load({ model: path, ...options });
      expect(files.map(({ name }) => name)).toContain(manifest);
      for (const { name, bytes } of files)
        for (const place of [0, Math.floor(bytes / 2), bytes - 2]) {
          flip(join(path, name), place);
          await expectDamaged(load(), name === manifest ? path : name);
          flip(join(path, name), place);
        }
      expect(await load()).toMatchObject({ weightsDigest });
    });

    it('is found in a training state without an expectation, a missing file too', async () => {
      const { files } = await subject.worker.save(path, { kind: 'trainingState' });
      const load = () => subject.worker.load({ model: path, restoreTrainingState: true });
      for (const { name, bytes } of files) {
        const [file, away] = [join(path, name), `${path}-away`];
        flip(file, Math.floor(bytes / 2));
        await expectDamaged(load(), name === manifest ? path : name);
        flip(file, Math.floor(bytes / 2));
        renameSync(file, away);
        await expectDamaged(load(), name);
        renameSync(away, file);
      }
      await expect(load()).resolves.toMatchObject({ optimizerSteps: 2 });
    });

    it('or other weights than expected are refused, whoever wrote them', async () => {
      const { weightsDigest: expectedDigest } = await subject.worker.save(path);
      await trainTwoSteps(subject.worker);
      const other = await subject.worker.save(`${path}-other`);
      const load = () => subject.worker.load({ model: other.path, expectedDigest });
      await expectDamaged(load(), other.weightsDigest);
      await expectRefusal(subject.worker.forward([[7, 8]]), 'NO_MODEL');
      rmSync(join(other.path, manifest));
      await expectDamaged(load(), other.weightsDigest);
      await expectDamaged(subject.fresh({ expectedDigest }), expectedDigest);
      const { weightsDigest } = await subject.fresh({ digest: true });
      expect(await subject.fresh({ expectedDigest: weightsDigest })).toMatchObject({ weightsDigest });
    });
  });
}

/** Change one bit of a file. */
function flip(file: string, place: number): void {
  const content = readFileSync(file);
  content[place] = (content[place] ?? 0) ^ 1;
  writeFileSync(file, content);
}

async function expectDamaged(loaded: Promise<unknown>, named: string): Promise<void> {
  const data = expect.objectContaining({ reason: 'damaged' });
  await expectRefusal(loaded, 'BAD_MODEL', new RegExp(named), { data });
}
