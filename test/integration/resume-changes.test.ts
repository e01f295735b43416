/** What may be another when a run goes on: nothing that a result depends on; its last bits, where that is said and kept from others. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { applyOverrides, parseOverride } from '../../src/config/overrides.ts';
import type { Channel } from '../../src/worker/channel.ts';
import { asCall } from '../../src/worker/channel.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';
import { callsOf, stepsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';
import { ToyChannel } from '../support/toy-worker.ts';

const folder = workFolder();
const sets = [saySet(folder)];
const settingsWith = (settings: Settings = {}) => smallRun(folder, { retention: { sets }, ...settings });

const begun = (settings: Settings = {}) =>
  interruptedRun(folder, settingsWith(settings), { verb: 'optimStep', count: 14 });
type Begun = Awaited<ReturnType<typeof begun>>;

/** Go on as `tms resume DIR --set …` does. */
function goOn(run: Begun, sets: readonly string[], channel?: Channel): Promise<RecordedRun> {
  const saved = parse(readFileSync(join(run.output, 'config.resolved.yaml'), 'utf8'));
  const settings = applyOverrides(saved, sets.map(parseOverride)) as Settings;
  return recordRun(folder, settings, { home: run.home, resume: true, ...(channel && { channel }) });
}

const results = (output: string) =>
  [
    'metrics.jsonl',
    'curriculum.jsonl',
    'models/student/toy-model.json',
    'models/sft/toy-model.json',
    ...evaluations(output),
  ].map(name => [name, readFileSync(join(output, name), 'utf8')]);
const evaluations = (output: string) =>
  readdirSync(join(output, 'evaluation')).map(name => join('evaluation', name));
const resolved = (output: string) => loadConfig(join(output, 'config.resolved.yaml'));
const notesOf = (output: string): string[] => readRecord(output, 'environment.json').notes;

describe('a key that affects nothing', () => {
  it.each([
    'run_name=b',
    'save_steps=2',
    'save_total_limit=3',
    'max_too_long_fraction=0.5',
    'tms.max_fallback_fraction=0.99',
    'tms.keep_checkpoints=false',
    'retention.margin=0.3',
    'retention.max_unfinished_fraction=0.3',
    'worker.python=/usr/bin/python3',
  ])('%s may change: the same bytes, and nothing is said', async set => {
    const whole = await recordRun(folder, settingsWith());
    const run = await begun();
    const { said } = await goOn(run, [set]);
    expect(results(run.output)).toEqual(results(whole.output));
    expect(said.join('\n')).not.toMatch(/last bits/);
    const [key = '', value = ''] = set.split('=');
    const found = key.split('.').reduce<unknown>((at, part) => (at as Settings)[part], resolved(run.output));
    expect(String(found), 'the next resume has it too').toBe(value);
    expect(readRecord(run.output, 'run.json').numerics).toHaveLength(1);
  });
});

describe('a key that affects numerics', () => {
  it.each([
    ['worker.token_budget=64', 'worker.token_budget: 2048 → 64'],
    ['gradient_checkpointing=false', 'gradient_checkpointing: true → false'],
    ['determinism=seeded', 'determinism: "auto" → "seeded"'],
  ])('%s may change, which is said and kept', async (set, change) => {
    const run = await begun();
    const { said } = await goOn(run, [set]);
    expect(said).toContainEqual(expect.stringMatching(`note: ${change}: from here on the last bits`));
    const { status, numerics } = readRecord(run.output, 'run.json');
    expect(status).toBe('finished');
    expect(numerics).toHaveLength(2);
    expect(numerics[1]).toMatchObject({
      at: expect.stringMatching(/^\d{4}-.*Z$/),
      after: expect.stringMatching(/\S \d+$/),
    });
    expect(notesOf(run.output).at(-1)).toContain(change);
  });

  it('that changes nothing here is neither said nor kept', async () => {
    const run = await begun();
    // The toy has one thread, and samples alike in any batch.
    const { said } = await goOn(run, ['worker.threads=3', 'sampler.max_rows=2', 'attn_implementation=eager']);
    expect(said.join('\n')).not.toMatch(/last bits/);
    expect(readRecord(run.output, 'run.json').numerics).toHaveLength(1);
  });

  it('is refused where determinism: strict promises the bits, with a way on', async () => {
    const run = await begun({ determinism: 'strict' });
    await expect(goOn(run, ['worker.token_budget=64'])).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/determinism is strict.*worker.token_budget: 2048 → 64/),
      fix: expect.stringContaining('--set determinism=auto'),
    });
    await goOn(run, ['worker.token_budget=64', 'determinism=auto']);
    expect(readRecord(run.output, 'run.json').status).toBe('finished');
  });

  it('may change under strict where it cannot change a bit', async () => {
    const run = await begun({ determinism: 'strict' });
    await goOn(run, ['sampler.max_rows=2', 'retention.margin=0.3']);
    expect(readRecord(run.output, 'run.json').numerics).toHaveLength(1);
  });

  it('changed in a run keeps its numbers from other runs: they find none, and what they find is undisturbed', async () => {
    const home = join(folder, 'home-disturbed');
    const run = await interruptedRun(folder, settingsWith(), { verb: 'optimStep', count: 2, home });
    await goOn(run, ['worker.token_budget=16']);
    const whole = await recordRun(folder, settingsWith());
    const lowered = { worker: { token_budget: 16 } };
    for (const settings of [{}, lowered]) {
      const next = await recordRun(folder, settingsWith(settings), { home });
      expect(stepsOf(next.calls)).toHaveLength(18);
    }
    const again = await recordRun(folder, settingsWith(), { home });
    expect(stepsOf(again.calls)).toHaveLength(9);
    expect(results(again.output)).toEqual(results(whole.output));
  });
});

describe('a key that results depend on', () => {
  it.each([
    ['learning_rate=0.5', 'learning_rate: 1 → 0.5'],
    ['tms.alpha=0.5', 'tms.alpha: 0.25 → 0.5'],
    ['eval_points=3', 'eval_points: 2 → 3'],
  ])('%s is refused with both values, before anything is loaded', async (set, change) => {
    const run = await begun();
    const asked: string[] = [];
    const toy = new ToyChannel();
    const listening: Channel = {
      call: (verb, ...rest) => {
        asked.push(verb);
        return toy.call(verb, ...rest);
      },
      close: () => toy.close(),
    };
    await expect(goOn(run, [set, 'worker.token_budget=64'], listening)).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining(`the configuration changed since it began: ${change}`),
    });
    expect(asked).toEqual([]);
    expect(resolved(run.output).worker.token_budget).toBeNull();
    await goOn(run, []);
    expect(readRecord(run.output, 'run.json').status).toBe('finished');
  });
});

describe('out of memory', () => {
  it('is followed by less, as the advice says, and the run ends', async () => {
    const output = join(folder, 'short');
    const settings = settingsWith({ output_dir: output });
    const home = join(folder, 'home-short');
    const channel = () => shortOfMemory(new ToyChannel(), 100);
    await expect(recordRun(folder, settings, { home, channel: channel() })).rejects.toMatchObject({
      code: 'OOM',
    });
    const run = { output, home, settings };
    const resumed = await goOn(run, ['worker.token_budget=64'], channel());
    expect(readRecord(output, 'run.json').status).toBe('finished');
    expect(new Set(callsOf(resumed.calls, 'load').map(({ params }) => params.tokenBudget))).toEqual(
      new Set([64]),
    );
    expect(resolved(output).worker.token_budget).toBe(64);
  });
});

/** A machine whose memory is too small for micro-batches of more than `most` tokens. */
function shortOfMemory(inner: Channel, most: number): Channel {
  let budget = 0;
  return {
    call: (verb, params, tensors, options) => {
      if (verb === 'load') budget = (params as { tokenBudget: number | null }).tokenBudget ?? 2048;
      if (verb !== 'forwardBackward' || budget <= most) return inner.call(verb, params, tensors, options);
      const error = new WorkerError('OOM', `${budget} tokens do not fit`, { verb });
      return asCall(1, Promise.reject(error));
    },
    close: () => inner.close(),
  };
}
