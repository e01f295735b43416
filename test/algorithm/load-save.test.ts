/** What is loaded into the worker, and what is saved on the way. */
import { describe, expect, it } from 'vitest';
import { callsOf } from '../support/recorded-calls.ts';
import {
  isThere,
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  stopAt,
  workFolder,
} from '../support/recorded-run.ts';
import { expectTms, smallFacts, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const sft = (settings: Settings = {}): Promise<RecordedRun> =>
  recordRun(folder, smallRun(folder, { method: 'sft', ...settings }));

describe('what is loaded', () => {
  it('is a new LoRA adapter on the base for SFT, and a new one for the student', async () => {
    const lora = {
      lora_r: 4,
      lora_alpha: 12,
      lora_dropout: 0.25,
      lora_target_modules: ['q_proj', 'v_proj'],
      lora_modules_to_save: ['lm_head'],
      use_rslora: true,
      use_dora: true,
    };
    const adapter = {
      r: 4,
      alpha: 12,
      dropout: 0.25,
      targetModules: ['q_proj', 'v_proj'],
      modulesToSave: ['lm_head'],
      useRslora: true,
      useDora: true,
      seed: 7,
    };
    const run = await recordRun(folder, smallRun(folder, { use_peft: true, ...lora }));
    expectTms(run, smallFacts);
    const loads = callsOf(run.calls, 'load').map(({ params }) => params);
    expect(loads.length).toBeGreaterThanOrEqual(2);
    for (const load of loads) expect(load).toMatchObject({ model: 'toy:1', adapter });
  });

  it('has the precision, the kernels and the limits of the configuration', async () => {
    const run = await sft({
      attn_implementation: 'eager',
      gradient_checkpointing: false,
      torch_compile: false,
      determinism: 'seeded',
      model_revision: 'v2',
      bf16: true,
      worker: { token_budget: 77, threads: 3, device: 'cpu' },
    });
    expect(callsOf(run.calls, 'load')[0]?.params).toMatchObject({
      revision: 'v2',
      dtype: 'float32',
      computeDtype: 'bfloat16',
      attention: 'eager',
      gradientCheckpointing: false,
      torchCompile: false,
      determinism: 'seeded',
      tokenBudget: 77,
      threads: 3,
      device: 'cpu',
      trustRemoteCode: false,
      seed: 7,
    });
  });
});

describe('what is saved on the way', () => {
  const states = (run: RecordedRun) =>
    callsOf(run.calls, 'save')
      .filter(({ params }) => params.kind === 'trainingState')
      .map(({ params }) => Number(/(\d+)\D*$/.exec(params.path)?.[1]));

  it('is a training state every save_steps, and none of them stays', async () => {
    const run = await sft({ save_steps: 2 });
    expect(states(run)).toEqual([2, 4, 6, 8]);
    expect(isThere(run.output, 'states/sft-step-000008')).toBe(false);
    expect(states(await sft({ save_steps: 0 }))).toEqual([]);
  });

  it.each([
    [1, [6]],
    [2, [4, 6]],
    [null, [2, 4, 6]],
  ])('keeps the last save_total_limit states while it trains: %s', async (limit, kept) => {
    const output = `${folder}/limit-${limit}`;
    const controller = new AbortController();
    const onCall = stopAt(controller, 'optimStep', 7);
    const settings = { method: 'sft', save_steps: 2, save_total_limit: limit, output_dir: output };
    await expect(
      recordRun(folder, smallRun(folder, settings), { onCall, signal: controller.signal }),
    ).rejects.toMatchObject({ exitCode: 130 });
    expect([2, 4, 6, 8].filter(step => isThere(output, `states/sft-step-00000${step}`))).toEqual(kept);
    expect(readRecord(output, 'run.json').status).toBe('interrupted');
  });
});
