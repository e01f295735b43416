/** How the shipped base is made, but for the data (tasks.ts). */
import { dataSeed, mixture } from './tasks.ts';
import { tokens } from './vocabulary.ts';

export const recipe = {
  /** Of the random weights and of the stream of examples. */
  seed: 1,
  steps: 500,
  batchSize: 192,
  /** Of Muon (matrices) and AdamW (embedding and norms), at the height of the schedule. */
  learningRate: 3e-3,
  warmupSteps: 100,
  /** What is left of the learning rate after the last step. */
  finalShare: 0.02,
  adamw: { beta1: 0.9, beta2: 0.98, weightDecay: 0 },
  muon: { weightDecay: 0.01, adjustLearningRate: 'match_rms_adamw' },
  maxGradNorm: 1,
  /** Pretraining shows no problem of the target, which this seed draws. */
  dataSeed,
  mixture,
  /** Fields of transformers' LlamaConfig: 0.61 M parameters. */
  shape: {
    hidden_size: 128,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    intermediate_size: 352,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  },
  tokens,
} as const;
export type Recipe = Omit<typeof recipe, 'seed' | 'steps'> & {
  readonly seed: number;
  readonly steps: number;
};

/** Linear warm-up, constant until half of the steps are done, then linear to `finalShare`. Steps count from 0. */
export function learningRateAt(
  step: number,
  { steps, learningRate, warmupSteps, finalShare }: Recipe,
): number {
  const warmup = Math.min(1, (step + 1) / warmupSteps);
  const half = steps / 2;
  const decay = step < half ? 1 : 1 - ((1 - finalShare) * (step + 1 - half)) / (steps - half);
  return learningRate * Math.min(warmup, decay);
}
