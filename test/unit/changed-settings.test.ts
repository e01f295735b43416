/** What each key can change: its level decides what a digest and a resume make of it. */
import { describe, expect, it } from 'vitest';
import { changedSettings, describeChange, resultSettings } from '../../src/config/changed-settings.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { parseConfig } from '../../src/config/load.ts';
import { listSettings } from '../../src/config/settings-list.ts';

/** Decided by what the code does with each; every other key may change a result. */
const levels = {
  /** Where a run writes, what it prints, what it keeps, what it refuses. */
  nothing:
    `output_dir run_name price_per_hour report_to save_steps save_total_limit max_rewritten_fraction max_too_long_fraction tms.max_fallback_fraction iterative.max_fallback_fraction self_rewritten.max_fallback_fraction
    tms.keep_checkpoints retention.margin retention.max_drop retention.max_unfinished_fraction worker.python sampler.python sampler.gpu_memory_utilization sampler.keep_alive placement.engine placement.address placement.samplers.gpus`.split(
      /\s+/,
    ),
  /** Where, in what order and in what pieces the same numbers are computed. */
  numerics:
    'attn_implementation gradient_checkpointing torch_compile determinism sampler.backend sampler.workers sampler.endpoints sampler.max_rows sampler.strict placement.samplers.count worker.device worker.token_budget worker.threads'.split(
      ' ',
    ),
};

const config = (...sets: string[]) =>
  parseConfig('model_name_or_path: m\ndataset_name: d.jsonl\noutput_dir: o\n', 'run.yaml', sets);

describe('what a key affects', () => {
  it('is said for those that affect less than the result, and for those only', () => {
    for (const level of ['nothing', 'numerics'] as const) {
      const found = listSettings().filter(({ 'x-affects': affects }) => affects === level);
      expect(found.map(({ path }) => path).toSorted()).toEqual(levels[level].toSorted());
    }
    const others = listSettings().filter(({ 'x-affects': level = 'result' }) => level === 'result');
    expect(others).toHaveLength(listSettings().length - levels.nothing.length - levels.numerics.length);
  });

  it('stands in configs/schema.json', () => {
    const { properties } = configJsonSchema() as { properties: Record<string, Record<string, unknown>> };
    expect(properties.output_dir?.['x-affects']).toBe('nothing');
    expect(properties.determinism?.['x-affects']).toBe('numerics');
    expect(properties.seed).not.toHaveProperty('x-affects');
  });
});

describe('changedSettings', () => {
  it('names every key with both values and its level; a list is one value', () => {
    const after = config(
      'tms.alpha=0.5',
      'worker.token_budget=512',
      'run_name=b',
      'eval.sets=[{name: a, path: a.jsonl}]',
      'tms.stop=["x"]',
    );
    const changed = changedSettings(config(), after);
    expect(changed.map(({ key, affects }) => [key, affects])).toEqual([
      ['run_name', 'nothing'],
      ['eval.sets', 'result'],
      ['worker.token_budget', 'numerics'],
      ['tms.alpha', 'result'],
      ['tms.stop', 'result'],
    ]);
    expect(changed.map(describeChange)).toContain('worker.token_budget: null → 512');
    expect(changed.map(describeChange)).toContain('run_name: null → "b"');
    expect(changedSettings(after, after)).toEqual([]);
  });
});

describe('resultSettings', () => {
  it('has every key but those that affect no result, at any depth', () => {
    const kept = resultSettings(config()) as Record<string, Record<string, unknown>>;
    expect(Object.keys(kept.worker ?? {})).toEqual([]);
    expect(kept.tms).toMatchObject({ alpha: 0.25, num_checkpoints: 10 });
    expect(kept.tms).not.toHaveProperty('keep_checkpoints');
    expect(kept).not.toHaveProperty('output_dir');
    const others = ['output_dir=p', 'worker.token_budget=512', 'retention.sets=[]', 'determinism=strict'];
    expect(resultSettings(config(...others))).toEqual(kept);
    expect(resultSettings(config('seed=1'))).not.toEqual(kept);
  });
});
