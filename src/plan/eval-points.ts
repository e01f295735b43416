/** At which steps of a training run everything is measured. */

/** `count` steps equally spread from 0 (the base) to the last; fewer where the run is shorter. */
export function evaluationSteps(steps: number, count: number): number[] {
  const spread = Array.from({ length: count }, (_, i) => Math.round((i * steps) / (count - 1)));
  return [...new Set(spread)];
}
