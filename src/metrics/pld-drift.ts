/** Policy–label divergence (PLD): its drift along a training run, and how drift goes with forgetting. Pure. */
import { pearson, spearman } from './statistics.ts';

/**
 * Drift of each point: PLD_t − min over s ≤ t of PLD_s (ours; 2602.03073 gives no formula).
 * 0 until PLD turns up; at the last point it is end − minimum. `values` are in order of steps and begin with the model trained from.
 */
export function pldDrift(values: readonly number[]): number[] {
  let least = Number.POSITIVE_INFINITY;
  return values.map(value => {
    least = Math.min(least, value);
    return value - least;
  });
}

/** One measured point of a training run; forgetting = −Δ retention. */
export type DriftPoint = { readonly step: number; readonly drift: number; readonly forgetting: number };

/** Correlations over `count` points; null where they are undefined. */
export type DriftCorrelation = {
  readonly count: number;
  readonly pearson: number | null;
  readonly spearman: number | null;
  /** Of the step number with forgetting: what drift has to beat, since both grow with time. */
  readonly stepPearson: number | null;
};

/** How far drift goes with forgetting over these points, and how far the mere step number does. */
export function driftCorrelation(points: readonly DriftPoint[]): DriftCorrelation {
  const forgetting = points.map(point => point.forgetting);
  const drift = points.map(point => point.drift);
  return {
    count: points.length,
    pearson: pearson(drift, forgetting),
    spearman: spearman(drift, forgetting),
    stepPearson: pearson(
      points.map(point => point.step),
      forgetting,
    ),
  };
}
