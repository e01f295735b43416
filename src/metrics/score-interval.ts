/** Score intervals of a change and of a share: they keep a width where nothing varies, which a bootstrap does not. Pure. */
import { type Interval, mean, wilsonInterval, z95 } from './statistics.ts';

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
  const items = effectiveSize(sets);
  const share = (of: (set: Flipped) => number) => mean(sets.map(set => of(set) / set.items));
  return pairedScoreInterval({
    gained: items * share(({ gained }) => gained),
    lost: items * share(({ lost }) => lost),
    items,
  });
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
