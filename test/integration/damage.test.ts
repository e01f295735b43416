/**
 * A flipped bit in any file of an interrupted run, or of the store: what follows is as without it, or an error names the file. The toy
 * makes that cheap enough for every file, one at a time.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectedIn, wrongAfterDamage } from '../support/damage.ts';
import { interruptedRun, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const sets = [saySet(folder)];
const settings = smallRun(folder, {
  retention: { sets },
  pld: { size: 3 },
  kl: { size: 2 },
  save_steps: 2,
  eval_points: 4, // at other steps than checkpoints
  controls: { base_samples: true },
});

const expectedOf = async (settings: Settings) => expectedIn((await recordRun(folder, settings)).output);

describe('damage in one file', () => {
  it('of a run that was interrupted within its last training', async () => {
    const expected = await expectedOf(settings);
    const stopped = await interruptedRun(folder, settings, { verb: 'optimStep', count: 25 });
    const place = join(stopped.output, '..');
    const run = { place, within: /^out\//, expected, settings, output: 'out', resume: true };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(50);
  });

  it('of the store, before a run with another α', async () => {
    const place = mkdtempSync(join(folder, 'first-'));
    await recordRun(folder, { ...settings, output_dir: join(place, 'out') }, { home: join(place, 'home') });
    const other: Settings = { ...settings, tms: { ...(settings.tms as Settings), alpha: 0.5 } };
    const expected = await expectedOf(other);
    const run = { place, within: /^home\//, expected, settings: other, output: 'second', resume: false };
    const { wrong, tried } = await wrongAfterDamage(run);
    expect(wrong).toEqual({});
    expect(tried).toBeGreaterThan(20);
  });
});
