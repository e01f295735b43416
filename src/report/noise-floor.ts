/** How far the base differs from itself where it is asked again with another seed: what no training has to do with. Pure. */
import type { EvaluationRecord, SetRecord } from '../run/records.ts';
import { baseName } from '../run/trainings.ts';
import { fixed, signed } from './format.ts';
import type { Results } from './results.ts';

/** A measure of the base, and the same of another seed. */
type Twice = { readonly what: string; readonly once: number; readonly again: number };

/** One sentence; nothing where the base was measured once. */
export function againNotes(results: Results | undefined): string[] {
  const base = results?.evaluations.find(({ training }) => training === baseName);
  if (base?.again === undefined) return [];
  const found = measuredTwice(base, base.again);
  const parts = found.map(
    ({ what, once, again }) => `${what} ${fixed(once)} and ${fixed(again)} (${signed(again - once)})`,
  );
  const said = parts.length === 0 ? '' : `: ${parts.join('; ')}`;
  return [
    `Noise floor, the base against itself with another sampling seed${said}. Greedy answers and log-likelihoods do not differ by a seed; how far they depend on the items is in the intervals.`,
  ];
}

function measuredTwice(base: EvaluationRecord, again: NonNullable<EvaluationRecord['again']>): Twice[] {
  const sets = again.sets.flatMap(set => {
    const before = base.sets.find(({ name }) => name === set.name);
    return before === undefined ? [] : [{ what: set.name, once: sampledOf(before), again: set.accuracy }];
  });
  const own = (['target', 'retention'] as const).flatMap(role => {
    const [one, other] = [base.own?.[role], again.own?.[role]];
    if (!one || !other) return [];
    const entropy = { what: `entropy (${role})`, once: one.entropyPerToken, again: other.entropyPerToken };
    const isDistinct = one.distinct !== null && other.distinct !== null;
    const distinct = { what: `distinct (${role})`, once: one.distinct ?? 0, again: other.distinct ?? 0 };
    return isDistinct ? [entropy, distinct] : [entropy];
  });
  return [...sets, ...own];
}

/** Sets that are only sampled have that as their accuracy. */
function sampledOf({ accuracy, sampledAccuracy }: SetRecord): number {
  return sampledAccuracy ?? accuracy;
}
