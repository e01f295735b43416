/** Student's t, p-values and what several of them show together. Pure. */
import { type Interval, mean, z95 } from './statistics.ts';

/** 95 % interval of the mean of independent values by Student's t; null for fewer than two. */
export function tInterval(values: readonly number[]): Interval | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  const half = tQuantile(values.length - 1) * standardError(values);
  return { low: centre - half, high: centre + half };
}

/** Two-sided p of the mean of independent values being 0; null for fewer than two. Values without any spread show as much as there are digits: 0, or 1 at 0. */
export function tTest(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const error = standardError(values);
  const centre = mean(values);
  if (error < 1e-12) return Math.abs(centre) < 1e-12 ? 1 : 0;
  return tTail(Math.abs(centre) / error, values.length - 1);
}

/** Two-sided p of as many items gained as lost (McNemar; the score test behind Tango's interval at 0). */
export function scoreTest({ gained, lost }: { readonly gained: number; readonly lost: number }): number {
  const discordant = gained + lost;
  return discordant === 0 ? 1 : complementaryError(Math.abs(gained - lost) / Math.sqrt(2 * discordant));
}

/** Holm's adjustment: p-values that may each be held against one level, whatever their number. */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((p, i) => ({ p, i })).toSorted((a, b) => a.p - b.p);
  const adjusted = pValues.map(() => 0);
  let least = 0;
  order.forEach(({ p, i }, rank) => {
    least = Math.max(least, Math.min(1, p * (pValues.length - rank)));
    adjusted[i] = least;
  });
  return adjusted;
}

/** 95 % interval of a correlation by Fisher's z, as if the points were independent; null for fewer than four. */
export function correlationInterval(correlation: number, points: number): Interval | null {
  if (points < 4) return null;
  const z = Math.atanh(Math.min(0.999999, Math.max(-0.999999, correlation)));
  const half = z95 / Math.sqrt(points - 3);
  return { low: Math.tanh(z - half), high: Math.tanh(z + half) };
}

function standardError(values: readonly number[]): number {
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

/** The value that |t| exceeds in 5 % of cases. */
export function tQuantile(freedom: number): number {
  let [low, high] = [0, 1000];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (tTail(middle, freedom) > 0.05) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(|T| > t) with a whole number of degrees of freedom, by the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4. */
function tTail(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom));
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const isOdd = freedom % 2 === 1;
  let term = isOdd ? cos : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k < freedom; k += 2) {
    term *= ((k - 1) / k) * cos * cos;
    sum += term;
  }
  const inside = isOdd ? (2 / Math.PI) * (angle + sin * sum) : sin * sum;
  return Math.max(0, 1 - inside);
}

/** erfc for x ≥ 0, Numerical Recipes' Chebyshev fit: relative error below 1.2e-7. */
function complementaryError(x: number): number {
  const t = 1 / (1 + x / 2);
  const coefficients = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
    -0.82215223, 0.17087277,
  ];
  const polynomial = coefficients.reduceRight((sum, coefficient) => sum * t + coefficient, 0);
  return t * Math.exp(-x * x + polynomial);
}
