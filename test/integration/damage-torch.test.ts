/** What damage.test.ts asks, of the files that PyTorch and Transformers write and read: one worker serves all of it. */
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Connection } from '../../src/worker/connection.ts';
import { type Expected, expectedIn, wrongAfterDamage } from '../support/damage.ts';
import { interruptedRun, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { tinyModel, torchWorker } from '../support/tiny-model.ts';

const folder = workFolder();
let worker: Connection;
let settings: Settings;

beforeAll(async () => {
  worker = await torchWorker();
  settings = smallRun(folder, {
    model_name_or_path: await tinyModel(),
    learning_rate: 1e-2,
    max_steps: 3,
    save_steps: 1,
    max_length: 120,
    eval: { sets: [saySet(folder, { count: 1, max_new_tokens: 2 })] },
    pld: { size: 1 },
    tms: { num_checkpoints: 1, max_new_tokens: 4 },
  });
});
afterAll(() => worker.close());

const run = (changed: Settings = {}, home?: string) =>
  recordRun(folder, { ...settings, ...changed }, { channel: worker, ...(home && { home }) });
const expectedOf = async (changed: Settings = {}): Promise<Expected> =>
  expectedIn((await run(changed)).output);

it('a bit of weights, optimiser, tokenizer or targets of an interrupted run', async () => {
  const expected = await expectedOf();
  const stopped = await interruptedRun(folder, settings, { verb: 'optimStep', count: 5, channel: worker });
  const { wrong, tried } = await wrongAfterDamage({
    place: join(stopped.output, '..'),
    within: /^out\/(models|states|targets)\//,
    expected,
    settings,
    output: 'out',
    resume: true,
    channel: worker,
  });
  expect(wrong).toEqual({});
  expect(tried).toBeGreaterThan(15);
  expect(readdirSync(join(stopped.output, 'states'))).toEqual(['student-step-000002']);
});

it('a bit of the store, before a run with another α', async () => {
  const place = mkdtempSync(join(folder, 'first-'));
  await run({ output_dir: join(place, 'out') }, join(place, 'home'));
  const other = { ...settings, tms: { ...(settings.tms as Settings), alpha: 0.5 } };
  const { wrong, tried } = await wrongAfterDamage({
    place,
    within: /^home\//,
    expected: await expectedOf(other),
    settings: other,
    output: 'second',
    resume: false,
    channel: worker,
  });
  expect(wrong).toEqual({});
  expect(tried).toBeGreaterThan(12);
});
