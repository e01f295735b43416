/**
 * Which key of the configuration makes which work be done again. A run fills `TMS_HOME`; a second one with one key changed is watched:
 * what it asks the worker for was not in the store. Too little repeated is a wrong result, too much is a day lost.
 */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { askedIn, stepsOf } from '../support/recorded-calls.ts';
import {
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { examples, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const home = join(folder, 'home');
const say = writeRows(folder, 'say.jsonl', examples);
const set = { name: 'say', path: say, columns: { answer: 'completion' }, limit: 4, max_new_tokens: 5 };
const base: Settings = {
  eval: { sets: [set] },
  lr_scheduler_type: 'linear',
  pld: { size: 20 },
  kl: { size: 0 },
};
const harvestLimits = new Set([9, 6]);

/** The last run's model of each training, and what was asked to make it. */
type Work = { readonly sft: string; readonly answers: string; readonly measures: string };

let all: number;
beforeAll(async () => {
  all = answersIn(await recordRun(folder, smallRun(folder, base), { home }));
});

/** Run with these keys changed, over a copy of what the first run left. */
async function workOf(changed: Settings): Promise<Work> {
  const copy = join(folder, `home-${Math.random().toString(36).slice(2)}`);
  cpSync(home, copy, { recursive: true });
  const run = await recordRun(folder, smallRun(folder, { ...base, ...changed }), { home: copy });
  const { sft, student } = readRecord(run.output, 'plan.json').trainings;
  const steps = stepsOf(run.calls).length;
  const answers = answersIn(run);
  const baseWeights = run.calls[0]?.weights;
  const isMeasured = askedIn(run.calls).some(
    ({ weights, params }) => weights === baseWeights && !harvestLimits.has(params.maxNewTokens),
  );
  return {
    sft: { [student.steps]: 'kept', [sft.steps + student.steps]: 'trained' }[steps] ?? `${steps} steps`,
    answers: answers === 0 ? 'kept' : answers < all ? 'some' : 'asked',
    measures: isMeasured ? 'measured' : 'kept',
  };
}

function answersIn({ calls }: RecordedRun): number {
  return askedIn(calls).filter(({ params }) => harvestLimits.has(params.maxNewTokens)).length;
}

describe('what makes other weights trains SFT again, and asks its checkpoints again; the base is as it was measured', () => {
  it.each<[string, unknown]>([
    ['learning_rate', 0.9],
    ['lr_scheduler_type', 'constant'],
    ['warmup_steps', 2],
    ['warmup_ratio', 0.2],
    ['num_train_epochs', 4],
    ['max_steps', 10],
    ['per_device_train_batch_size', 5],
    ['gradient_accumulation_steps', 2],
    ['weight_decay', 0.1],
    ['adam_beta1', 0.8],
    ['adam_beta2', 0.9],
    ['adam_epsilon', 1e-6],
    ['max_grad_norm', 0.01],
    ['data_seed', 9],
    ['worker', { token_budget: 64 }],
  ])('%s', async (key, value) => {
    const { answers, ...work } = await workOf({ [key]: value });
    expect(work).toEqual({ sft: 'trained', measures: key === 'worker' ? 'measured' : 'kept' });
    expect(answers).not.toBe('kept');
  });

  it('determinism', async () => {
    expect(await workOf({ determinism: 'strict' })).toMatchObject({ sft: 'trained' });
  });
});

describe('what changes everything', () => {
  it.each<[string, Settings]>([
    ['seed', { seed: 8 }],
    ['the model', { model_name_or_path: 'toy:2' }],
    ['max_length, where it cuts', { max_length: 9, max_too_long_fraction: 1, tms: { max_new_tokens: 3 } }],
    [
      'the training data',
      {
        dataset_name: writeRows(folder, 'other.jsonl', [
          ...examples.slice(1),
          { prompt: 'say y', completion: 'b' },
        ]),
      },
    ],
  ])('%s', async (_, changed) => {
    expect(await workOf(changed)).toMatchObject({ sft: 'trained', measures: 'measured' });
  });

  it('Muon', async () => {
    expect(await workOf({ optim: 'muon' })).toMatchObject({ sft: 'trained' });
  });

  it('a LoRA adapter, and one of another shape', async () => {
    const copy = join(folder, 'home-lora');
    cpSync(home, copy, { recursive: true });
    const count = async (keys: Settings) =>
      stepsOf(
        (await recordRun(folder, smallRun(folder, { ...base, use_peft: true, ...keys }), { home: copy }))
          .calls,
      ).length;
    const lora = [
      {},
      {},
      { lora_r: 4 },
      { lora_alpha: 8 },
      { lora_dropout: 0.5 },
      { use_rslora: true },
      { lora_target_modules: ['q_proj'] },
    ];
    const counts: number[] = [];
    for (const keys of lora) counts.push(await count(keys));
    expect(counts).toEqual([18, 9, 18, 18, 18, 18, 18]);
  });
});

describe('how answers are sampled asks for all of them again, and trains nothing but the student', () => {
  it.each<[string, unknown]>([
    ['temperature', 0.5],
    ['top_p', 0.5],
    ['max_new_tokens', 6],
  ])('tms.%s', async (key, value) => {
    expect(await workOf({ tms: { [key]: value } })).toEqual({
      sft: 'kept',
      answers: 'asked',
      measures: 'kept',
    });
  });
});

describe('which answers are read asks for those that are new', () => {
  it.each<[string, unknown]>([
    ['alpha', 0],
    ['order', 'early_to_late'],
    ['lazy_harvest', false],
    ['samples_per_prompt', 2],
    ['unfinished', 'redraw'],
  ])('tms.%s', async (key, value) => {
    const { answers, ...work } = await workOf({ tms: { [key]: value } });
    expect(work).toEqual({ sft: 'kept', measures: 'kept' });
    expect(answers).not.toBe('kept');
  });
});

describe('what is only measured leaves training and answers alone', () => {
  it.each<[string, Settings]>([
    ['a longer limit', { eval: { sets: [{ ...set, max_new_tokens: 7 }] } }],
    ['more items', { eval: { sets: [{ ...set, limit: 5 }] } }],
    ['another temperature', { eval: { sets: [set], temperatures: [0, 1] } }],
    ['another name', { eval: { sets: [{ ...set, name: 'speak' }] } }],
    ['another role', { eval: {}, retention: { sets: [set] } }],
    ['another scorer', { eval: { sets: [{ ...set, scorer: 'command', command: ['sed', 's/.*/0/'] }] } }],
    ['a set more', { retention: { sets: [{ ...set, name: 'keep' }] } }],
    ['other examples for PLD', { pld: { size: 3 } }],
    ['one split for PLD', { pld: { size: 20, splits: ['test'] } }],
  ])('%s', async (_, changed) => {
    expect(await workOf(changed)).toEqual({ sft: 'kept', answers: 'kept', measures: 'measured' });
  });
});

describe('what changes no result repeats nothing', () => {
  it.each<[string, Settings]>([
    ['nothing', {}],
    ['run_name', { run_name: 'again' }],
    ['save_steps', { save_steps: 4 }],
    ['save_total_limit', { save_total_limit: 3 }],
    ['the split of a batch', { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 }],
    ['rows side by side, under strict sampling', { sampler: { max_rows: 1 } }],
    ['a higher tms.alpha', { tms: { alpha: 0.8 } }],
    ['tms.filters', { tms: { filters: 'none' } }],
    ['tms.student_init', { tms: { student_init: 'sft' } }],
    ['tms.student', { tms: { student: { learning_rate: 0.5 } } }],
  ])('%s', async (_, changed) => {
    expect(await workOf(changed)).toEqual({ sft: 'kept', answers: 'kept', measures: 'kept' });
  });

  it('fewer checkpoints at steps that all had answered', async () => {
    const shared = join(folder, 'home-many');
    const of = (num_checkpoints: number, lazy_harvest: boolean) =>
      recordRun(folder, smallRun(folder, { ...base, tms: { num_checkpoints, lazy_harvest, alpha: 0 } }), {
        home: shared,
      });
    expect(answersIn(await of(9, false))).toBe(90);
    const fewer = await of(3, true); // steps 3, 6, 9: an answer is known by its checkpoint's step
    expect([stepsOf(fewer.calls).length, answersIn(fewer)]).toEqual([9, 0]);
  });

  it('another α, with KL, trains its student once', async () => {
    const settings = { ...base, kl: { size: 1 }, eval_points: 3 };
    const shared = join(folder, 'home-kl');
    await recordRun(folder, smallRun(folder, settings), { home: shared });
    const second = await recordRun(folder, smallRun(folder, { ...settings, tms: { alpha: 0.5 } }), {
      home: shared,
    });
    expect(stepsOf(second.calls)).toHaveLength(9);
    // The base is not asked again either: what it said is part of what was measured of it.
    expect(askedIn(second.calls).filter(({ weights }) => weights === second.calls[0]?.weights)).toEqual([]);
  });
});
