import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { PlannedTraining } from '../../src/plan/plan.ts';
import { recipeOf } from '../../src/training/recipe.ts';
import type { Run } from '../../src/training/run.ts';
import { temporaryFile } from '../support/temporary-directory.ts';

const plan = { steps: 3, order: 'o', schedule: 's' } as unknown as PlannedTraining;
const ingredients = { from: 'base', on: 'gold', loss: 'mean', code: undefined, plan };

function recipe(dtype: string, weight_rounding: string): string {
  const text = JSON.stringify({
    model_name_or_path: 'm',
    dataset_name: 'd.jsonl',
    output_dir: 'o',
    dtype,
    weight_rounding,
  });
  const config = loadConfig(temporaryFile('run.yaml', text));
  const model = { gradientCheckpointing: false } as Run['model'];
  return JSON.stringify(recipeOf({ config, numerics: {}, model }, ingredients));
}

it('weights held in bfloat16 depend on how their updates are rounded', () => {
  expect(recipe('bfloat16', 'nearest')).not.toBe(recipe('bfloat16', 'stochastic'));
});
