/** What identity.test.ts asks, where a real model is part of the question. One worker serves all of it. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { Channel } from '../../src/worker/channel.ts';
import type { Connection } from '../../src/worker/connection.ts';
import { askedIn, stepsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { tinyModel, torchWorker } from '../support/tiny-model.ts';

const folder = workFolder();
const resume = (run: { home: string; settings: Settings }, channel: Channel) =>
  recordRun(folder, run.settings, { home: run.home, resume: true, channel });

let tiny: string;
/** Its home is the folder of this test, its time that of the last place on earth to see a day. */
let worker: Connection;

beforeAll(async () => {
  tiny = await tinyModel();
  worker = await torchWorker({ HOME: folder, TZ: 'Pacific/Pago_Pago' });
});
afterEach(() => void vi.unstubAllEnvs());
afterAll(() => worker.close());

/** A copy of the tiny model that a test may change. */
function copyOfModel(name: string): string {
  cpSync(tiny, join(folder, name), { recursive: true });
  return join(folder, name);
}

const short = (model: string, settings: Settings = {}): Settings =>
  smallRun(folder, {
    model_name_or_path: model,
    method: 'sft',
    learning_rate: 1e-2,
    max_steps: 1,
    max_length: 120,
    ...settings,
  });

// Case 16.
it('a model below ~ is known by its files', async () => {
  const model = copyOfModel('tilde');
  vi.stubEnv('HOME', folder);
  const home = join(folder, 'home-tilde');
  const learnt = async (learning_rate: number) => {
    const settings = short('~/tilde', { as_chat: true, learning_rate });
    const [step] = stepsOf((await recordRun(folder, settings, { home, channel: worker })).calls);
    return step?.sequences.map(({ ids }) => ids);
  };
  const before = await learnt(1e-2);
  const template = join(model, 'chat_template.jinja');
  writeFileSync(template, readFileSync(template, 'utf8').replaceAll('<|im_start|>', '#'));
  const after = await learnt(2e-2);
  expect(after).toHaveLength(4);
  expect(after).not.toEqual(before);
});

// Case 06: a template may read the clock.
it('a prompt with a date has the same date in the whole of a run', async () => {
  const dated = join(folder, 'dated.jinja');
  const text = readFileSync(join(tiny, 'chat_template.jinja'), 'utf8');
  writeFileSync(dated, `{{ '<|im_start|>system\n' + strftime_now('%d %b') + '<|im_end|>\n' }}${text}`);
  const sets = [saySet(folder)];
  const settings = short(tiny, {
    eval: { sets },
    as_chat: true,
    chat_template_path: dated,
  });
  const east = await torchWorker({ TZ: 'Pacific/Kiritimati' }); // never the same day
  try {
    const run = await interruptedRun(folder, settings, {
      verb: 'forwardBackward',
      count: 1,
      channel: worker,
    });
    const prompts = ({ calls }: { calls: RecordedRun['calls'] }) =>
      new Set(askedIn(calls).map(({ prompt }) => String(prompt)));
    const resumed = await resume(run, east).catch((error: unknown) => error);
    if (resumed instanceof Error) return expect(resumed.message).toMatch(/date|clock|strftime/);
    const whole = await recordRun(folder, settings, { channel: worker });
    expect(prompts(resumed as RecordedRun)).toEqual(prompts(whole));
  } finally {
    await east.close();
  }
});

it('a model that an earlier run saved serves in another precision too: it is loaded again for the student', async () => {
  const first = await recordRun(folder, short(tiny), { channel: worker });
  const settings = smallRun(folder, {
    model_name_or_path: join(first.output, 'models/sft'),
    dtype: 'bfloat16',
    learning_rate: 1e-2,
    max_steps: 1,
    max_length: 120,
    tms: { num_checkpoints: 1, max_new_tokens: 4 },
  });
  const second = await recordRun(folder, settings, { channel: worker });
  expect(readRecord(second.output, 'run.json').status).toBe('finished');
  const bases = second.calls.filter(
    ({ verb, params }) =>
      verb === 'load' && 'model' in params && params.model === settings.model_name_or_path,
  );
  expect(bases).toHaveLength(2);
  expect(new Set(bases.map(({ weights }) => weights)).size).toBe(1);
});
