/** At which temperature the answers were sampled that accuracy counts: the lowest one of each role. Pure. */
import { valueAt } from './points.ts';
import type { Results } from './results.ts';

/** `greedy`, or such as `T=0.7`. */
export type Temperatures = { readonly target: string; readonly retention: string };

/** As the run noted them. */
export function temperaturesOf({ config }: Pick<Results, 'config'>): Temperatures {
  const of = (block: 'eval' | 'retention') => {
    const asked = valueAt(config, [block, 'temperatures']);
    const lowest = Array.isArray(asked) ? Math.min(...asked.map(Number)) : 0;
    return lowest > 0 ? `T=${lowest}` : 'greedy';
  };
  return { target: of('eval'), retention: of('retention') };
}

/** Of sets of both roles: `greedy`, or `T=0.7 or greedy`. */
export function temperaturesText({ target, retention }: Temperatures): string {
  return [...new Set([target, retention])].join(' or ');
}
