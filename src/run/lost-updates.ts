/**
 * Weights that cannot move: the share of trained weights with a gradient that a step left bit for bit as they were, because the update
 * is smaller than half a unit in their last place. Steps of metrics.jsonl where it was counted and is not 0 have it as `lost_updates`.
 */

/** From this share on it is said. */
export const worthSaying = 0.05;

/** What a share means, and what to do about it. */
export function lostSentence(share: number, dtype: unknown): string {
  const percent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  const found = `${percent} of the weights that had a gradient did not change: their updates were rounded away`;
  return dtype === 'bfloat16'
    ? `${found}, since dtype: bfloat16 holds 8 significant bits; most likely wanted is dtype: float32 with bf16: true, or weight_rounding: stochastic`
    : `${found}; the learning rate is too small for weights in ${dtype}`;
}
