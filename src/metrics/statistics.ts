/** Means, intervals and correlations. Pure; randomness comes from a seed. */
import { type Random, randomAt } from '../data/random.ts';

/** A confidence interval, both ends included. */
export type Interval = { readonly low: number; readonly high: number };

/** Two-sided 95 % of a normal distribution, the level of every interval here. */
export const z95 = 1.959963984540054;

/** Resamples of a bootstrap: the ends of a 95 % interval then vary by about 3 % of its width from seed to seed. */
const resampleCount = 2000;

/** 95 % interval of a share of `successes` among `total` trials (Wilson, 1927): sensible at 0, at 1 and for few trials, which need not be whole. */
export function wilsonInterval(successes: number, total: number): Interval {
  const share = successes / total;
  const squared = z95 ** 2 / total;
  const centre = (share + squared / 2) / (1 + squared);
  const half = (z95 * Math.sqrt((share * (1 - share)) / total + squared / (4 * total))) / (1 + squared);
  return {
    low: Math.max(0, Math.min(share, centre - half)),
    high: Math.min(1, Math.max(share, centre + half)),
  };
}

/** The arithmetic mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The mean over sets of the mean within each set: every set counts the same, whatever its size. */
export function meanOfMeans(sets: readonly (readonly number[])[]): number {
  return mean(sets.map(mean));
}

/**
 * 95 % percentile bootstrap interval of `meanOfMeans`: items are drawn again with replacement within each set, the sets stay.
 * Give it differences of paired items, and it is the paired bootstrap. No set may be empty. Values that are all equal have no width
 * here, whatever they leave open: score-interval.ts has what few or unanimous items show.
 */
export function bootstrapInterval(sets: readonly (readonly number[])[], seed: number): Interval {
  const random = randomAt(seed, 'bootstrap');
  const distributions = sets.map(countValues);
  const means = Array.from({ length: resampleCount }, () =>
    mean(distributions.map(distribution => resampledMean(distribution, random))),
  ).sort((a, b) => a - b);
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

/** Pearson's correlation; null for fewer than three points or where one side does not vary. */
export function pearson(x: readonly number[], y: readonly number[]): number | null {
  if (x.length < 3 || isConstant(x) || isConstant(y)) return null;
  const [meanX, meanY] = [mean(x), mean(y)];
  const sum = (product: (dx: number, dy: number) => number) =>
    x.reduce((total, value, i) => total + product(value - meanX, (y[i] ?? Number.NaN) - meanY), 0);
  const spread = Math.sqrt(sum(dx => dx * dx) * sum((_, dy) => dy * dy));
  return spread === 0 ? null : sum((dx, dy) => dx * dy) / spread;
}

/** Spearman's rank correlation, ties sharing their mean rank; null as in `pearson`. */
export function spearman(x: readonly number[], y: readonly number[]): number | null {
  return pearson(ranks(x), ranks(y));
}

/** Not by a spread of 0: the mean of equal values can differ from them by rounding. */
function isConstant(values: readonly number[]): boolean {
  return values.every(value => value === values[0]);
}

type Distribution = {
  readonly size: number;
  readonly values: readonly { readonly value: number; readonly count: number }[];
};

function countValues(items: readonly number[]): Distribution {
  const counts = new Map<number, number>();
  for (const value of items) counts.set(value, (counts.get(value) ?? 0) + 1);
  return { size: items.length, values: [...counts].map(([value, count]) => ({ value, count })) };
}

/** How often each value comes up among `size` draws is multinomial: the same law as drawing items one by one, and much faster. */
function resampledMean({ size, values }: Distribution, random: Random): number {
  let [sum, drawsLeft, itemsLeft] = [0, size, size];
  for (const { value, count } of values) {
    const drawn = count === itemsLeft ? drawsLeft : drawBinomial(drawsLeft, count / itemsLeft, random);
    sum += value * drawn;
    drawsLeft -= drawn;
    itemsLeft -= count;
  }
  return sum / size;
}

/** Trials inverted at once: (1 − p)^trials stays far from underflow for p ≤ 1/2. */
const trialsAtOnce = 500;

/** How many of `trials` succeed. */
export function drawBinomial(trials: number, probability: number, random: Random): number {
  if (probability > 0.5) return trials - drawBinomial(trials, 1 - probability, random);
  let successes = 0;
  for (let left = trials; left > 0; left -= trialsAtOnce) {
    successes += invertBinomial(random() / 2 ** 32, Math.min(left, trialsAtOnce), probability);
  }
  return successes;
}

/** The smallest k whose cumulative probability is above u. */
function invertBinomial(u: number, trials: number, probability: number): number {
  const odds = probability / (1 - probability);
  let term = (1 - probability) ** trials;
  let cumulative = term;
  let successes = 0;
  while (u >= cumulative && successes < trials) {
    successes += 1;
    term *= ((trials - successes + 1) / successes) * odds;
    cumulative += term;
  }
  return successes;
}

/** Linear between neighbours; `sorted` ascends and is not empty. */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

function ranks(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return values.map(value => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}

// Score intervals of a change and of a share: they keep a width where nothing varies, which a bootstrap does not.
// Pure.

/** Of the items of one set, how many became right and how many became wrong. The others did not change. */
export type Flipped = { readonly gained: number; readonly lost: number; readonly items: number };

/**
 * 95 % score interval of (gained − lost) / items for paired right-or-wrong results (Tango, Statistics in Medicine 17, 1998):
 * the changes that a score test does not refuse. Counts need not be whole numbers.
 */
export function pairedScoreInterval({ gained, lost, items }: Flipped): Interval {
  const change = (gained - lost) / items;
  const isRefused = (assumed: number) => scoreOf({ gained, lost, items }, assumed) > z95;
  return { low: lastAccepted(change, -1, isRefused), high: lastAccepted(change, 1, isRefused) };
}

/**
 * The same of the mean over sets: at the size N = S² / Σ 1/n_j that one set would need for the mean over S sets of n_j items to
 * vary as much, with N times the mean shares of gained and lost items.
 */
export function pairedScoreIntervalOfMean(sets: readonly Flipped[]): Interval {
  return pairedScoreInterval(pooled(sets));
}

/** Several sets as the one that stands for their mean. */
export function pooled(sets: readonly Flipped[]): Flipped {
  const items = effectiveSize(sets);
  const share = (of: (set: Flipped) => number) => mean(sets.map(set => of(set) / set.items));
  return { gained: items * share(({ gained }) => gained), lost: items * share(({ lost }) => lost), items };
}

/** Wilson's interval of the mean share over sets, at the same effective size. */
export function wilsonIntervalOfMean(
  sets: readonly { readonly right: number; readonly items: number }[],
): Interval {
  const items = effectiveSize(sets);
  return wilsonInterval(items * mean(sets.map(({ right, items: size }) => right / size)), items);
}

/** The smallest interval around both. */
export function outer(a: Interval, b: Interval): Interval {
  return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) };
}

function effectiveSize(sets: readonly { readonly items: number }[]): number {
  return sets.length ** 2 / sets.reduce((sum, { items }) => sum + 1 / items, 0);
}

/** How many standard errors the observed change is from `assumed`, the errors being those of the likeliest shares under `assumed`. */
function scoreOf({ gained, lost, items }: Flipped, assumed: number): number {
  const a = 2 * items;
  const b = (a - gained + lost) * assumed - gained - lost;
  const c = -lost * assumed * (1 - assumed);
  const likeliestLoss = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a);
  const variance = items * (2 * likeliestLoss + assumed * (1 - assumed));
  const distance = Math.abs(gained - lost - items * assumed);
  return distance === 0 ? 0 : distance / Math.sqrt(Math.max(0, variance));
}

/** Where acceptance ends between `inside`, which is accepted, and the bound. */
function lastAccepted(inside: number, bound: number, isRefused: (assumed: number) => boolean): number {
  if (!isRefused(bound)) return bound;
  let [accepted, refused] = [inside, bound];
  for (let i = 0; i < 50; i += 1) {
    const middle = (accepted + refused) / 2;
    if (isRefused(middle)) refused = middle;
    else accepted = middle;
  }
  return accepted;
}
