/** All that the weights of a training depend on. Its digest is their name in the store; the record is for people who look there. */
import type { PlannedTraining } from '../plan/plan.ts';
import { newAdapter } from './load-options.ts';
import type { Run } from './run.ts';

/** `from`: recipe of the weights that it starts with; `on`: key of its targets; `loss`: name of its loss; `reference`: the model that it is held against; `code`: digest of a user's method. */
export type Ingredients = {
  readonly from: string;
  readonly on: string;
  readonly loss: string;
  readonly reference?: unknown;
  readonly code: string | undefined;
  readonly plan: PlannedTraining;
};

export function recipeOf(
  { config, numerics, model }: Pick<Run, 'config' | 'numerics' | 'model'>,
  ingredients: Ingredients,
) {
  const { from, on, loss, reference, code, plan } = ingredients;
  const { weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm, optim } = config;
  return {
    from,
    on,
    loss,
    ...(reference ? { reference } : {}),
    ...(code !== undefined && { code }),
    steps: plan.steps,
    order: plan.order,
    schedule: plan.schedule,
    optimiser: { optim, weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm },
    gradient_checkpointing: model.gradientCheckpointing,
    adapter: newAdapter(config),
    ...(config.dtype === 'bfloat16' && { weight_rounding: config.weight_rounding }),
    seed: config.seed,
    numerics,
  };
}

/** The recipe of the model that a run begins with. */
export function baseRecipe({ model }: Pick<Run, 'model'>): string {
  return `base ${model.weightsDigest}`;
}
