/** A change of accuracy as text, the same in tables, sentences and figures. Pure. */
import type { Change } from '../metrics/retention.ts';
import { counted, dash, signed, withInterval } from './format.ts';

/** `−0.025 [−0.129, +0.065]`: both ends, because the interval of few changes is not symmetric. */
export function changeText(change: Change | null): string {
  return change === null ? dash : withInterval(change.mean, change.interval, signed);
}

/** The same without leading zeros, for a terminal: `−.025 [−.129, +.065]`. */
export function shortChangeText(change: Change | null): string {
  return changeText(change).replaceAll('0.', '.');
}

/** What the interval comes from and covers. */
export const intervalNote =
  '95 % score interval (Tango; over several sets the outer one of it and a paired bootstrap): it covers the choice of items, not of seeds (one seed)';

/** Where all items agree, what that rules out: a change of 0.000 or −1.000 of a few items looks more certain than it is. Null elsewhere. */
export function exclusionOf({ gained, lost, items, sets, interval: { low, high } }: Change): string | null {
  const all = `${counted(items, 'item')}${sets === 1 ? '' : ` in ${sets} sets`}`;
  if (gained + lost === 0) return `0 of ${all} changed: a change beyond ±${points(high)} points is excluded`;
  if (lost === items) return `all of ${all} became wrong: ${leastChange(-high, 'loss', 'gain')}`;
  if (gained === items) return `all of ${all} became right: ${leastChange(low, 'gain', 'loss')}`;
  return null;
}

/** `least`: the smallest change in the direction that was seen; below 0 where even the other direction is possible. */
function leastChange(least: number, seen: string, other: string): string {
  return least >= 0
    ? `a ${seen} of less than ${points(least)} points is excluded`
    : `yet a ${other} of up to ${points(-least)} points is not excluded`;
}

/** A share as percentage points, two digits. */
export function points(share: number): string {
  return String(Number((100 * share).toPrecision(2)));
}
