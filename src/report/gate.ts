/** `retention.max_drop`: what was demanded of the model that a run was made for, and whether it holds. Pure. */
import { type Change, type GateOutcome, gateOutcomeOf, gateOutcomes } from '../metrics/retention.ts';
import { changeText } from './changes.ts';
import { shortLabel } from './columns.ts';
import type { JunitCase } from './junit.ts';
import { valueAt } from './points.ts';
import type { Analysis, ResultRow } from './rows.ts';

/** `set`: null for the mean over all sets. */
export type GateCheck = {
  readonly set: string | null;
  readonly change: Change | null;
  readonly outcome: GateOutcome;
};

/** `outcome`: the most serious one of the checks. */
export type Gate = {
  readonly maxDrop: number;
  readonly training: string;
  /** Of the last point of the training. */
  readonly label: string;
  readonly checks: readonly GateCheck[];
  readonly outcome: GateOutcome;
};

/**
 * Null where nothing is demanded, or where the training that the run was made for has not ended. `maxDrop`: what is demanded, by default
 * what the run noted.
 */
export function gateOf(
  { results, rows }: Pick<Analysis, 'results' | 'rows'>,
  maxDrop: unknown = valueAt(results.config, ['retention', 'max_drop']),
): Gate | null {
  const { made, model, run } = results;
  const hasEnded = run.status === 'finished' || model?.training.name === made?.name; // controls come after it
  const row = rows.find(({ training, kind }) => hasEnded && kind === 'last' && training === made?.name);
  if (typeof maxDrop !== 'number' || row === undefined) return null;
  const checks = checksOf(row, maxDrop);
  const outcome = gateOutcomes.find(one => checks.some(check => check.outcome === one)) ?? 'not measured';
  return { maxDrop, training: row.training, label: shortLabel(row), checks, outcome };
}

/** Over all where there are several sets, then each. A set whose answers have no end is not judged. */
function checksOf({ sets, change, isDoubtful }: ResultRow, maxDrop: number): GateCheck[] {
  const check = (set: string | null, of: Change | null, isMeasured: boolean): GateCheck => ({
    set,
    change: of,
    outcome: gateOutcomeOf(isMeasured ? of : null, maxDrop),
  });
  return [
    ...(sets.length > 1 ? [check(null, change, !isDoubtful)] : []),
    ...sets.map(set => check(set.name, set.change, set.verdict !== 'not measured')),
  ];
}

/** `reverse −0.250 [−0.380, −0.140]` of each check with this outcome. */
export function checkTexts({ checks }: Gate, outcome: GateOutcome): string[] {
  return checks
    .filter(check => check.outcome === outcome)
    .map(({ set, change }) => `${set ?? 'the mean over all sets'} ${changeText(change)}`);
}

/** The gate as a sentence. */
export function gateSentence(gate: Gate): string {
  const { maxDrop, label, checks } = gate;
  const names = (outcome: GateOutcome) =>
    checks.filter(check => check.outcome === outcome).map(({ set }) => set ?? 'the mean over all sets');
  const parts = gateOutcomes.flatMap(outcome => {
    const texts = outcome === 'failed' ? checkTexts(gate, outcome) : names(outcome);
    return texts.length === 0 ? [] : [`${outcome}: ${texts.join(', ')}`];
  });
  return `Gate, ${label}, retention.max_drop ${maxDrop}: ${parts.join('; ')}.`;
}

/** The checks for a system that reads JUnit: an inconclusive one passes and says so, one that was not measured is skipped. */
export function gateCases({ maxDrop, label, checks }: Gate): JunitCase[] {
  return checks.map(({ set, change, outcome }) => {
    const what = set ?? 'mean over all sets';
    const text = `${what}: ${changeText(change)}, ${outcome} at retention.max_drop ${maxDrop}`;
    const states = { failed: 'failed', 'not measured': 'skipped', inconclusive: 'passed', passed: 'passed' };
    return {
      name: `${label}: ${what}`,
      state: states[outcome] as JunitCase['state'],
      type: 'retention.max_drop',
      text,
    };
  });
}
