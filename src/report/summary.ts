/** The numbers of a run as sentences: no word that the numbers do not say. Pure. */
import { describeFaults, mixtureOf } from '../run/sources.ts';
import type { Training } from '../run/trainings.ts';
import { changeText } from './changes.ts';
import { endlessBound, endlessSets, unjudgedText } from './fallback-notes.ts';
import { counted, fixed, percent } from './format.ts';
import { type Gate, gateOf } from './gate.ts';
import {
  bestPoint,
  evaluationOf,
  lastPoint,
  type Point,
  retentionDifference,
  targetDifference,
} from './points.ts';
import type { Results } from './results.ts';
import type { Analysis, ResultRow } from './rows.ts';

/** Why a run is not complete and what is shown instead; null for a finished one. */
export function statusSentence({ run, tornFiles }: Results): string | null {
  if (run.status === 'finished') return null;
  const states = {
    running: 'This run is not finished',
    interrupted: 'This run was interrupted and is not finished',
    failed: 'This run failed',
  };
  const torn =
    tornFiles.length === 0 ? '' : ` The last line of ${tornFiles.join(' and ')} was cut off and is left out.`;
  const reason = run.error === null ? '' : ` (${run.error})`;
  return `${states[run.status]}${reason}: what follows is what had been measured by then, and “last point” is the last one so far.${torn}`;
}

/** What separates each method from each baseline, paired on the same items: at their last points, and against the best recorded one. */
export function differenceSentences({ results, curves }: Analysis): string[] {
  const of = (role: Training['role']) => curves.filter(({ training }) => training.role === role);
  return of('method').flatMap(method => {
    const end = lastPoint(method);
    const { label } = method.training;
    return of('baseline').flatMap(baseline => {
      const [last, best] = [lastPoint(baseline), bestPoint(baseline)];
      if (end === null || last === null) return [];
      const against = baseline.training.label;
      const atEnd = differenceSentence(results, [last, end], `${label} minus ${against}, last points`);
      if (best === null || best === last) return atEnd;
      const what = `${label}, last point, minus ${against}, best recorded point (step ${best.step})`;
      return [...atEnd, ...differenceSentence(results, [best, end], what)];
    });
  });
}

/** What the intervals and comparisons of every report of one run do not cover. */
export const cautions =
  'One base model, one seed, one recipe: the intervals cover the choice of evaluation items and nothing else. A difference between last points compares equally long trainings; whether a baseline stopped early would do as well is what its best recorded point is for.';

/** How drawn targets were mixed, a sentence for each training that has them. */
export function curriculumSentences({ curricula, trainings }: Results): string[] {
  return curricula.map(({ training, sources }) => {
    const { label = training, goldShare = null } = trainings.find(({ name }) => name === training) ?? {};
    const { visits, drawn, replaced, alpha } = mixtureOf(sources);
    if (drawn === 0 && sources.replay > 0)
      return `${label}: of ${counted(visits, 'visit')}, ${percent(sources.replay / visits)} trained on an example of another data set, the others on gold.`;
    const why = describeFaults(sources, 'gold');
    const learned = describeFaults(sources, 'answer');
    return (
      `${label}: of ${counted(visits, 'visit')}, ${percent((drawn - replaced) / visits)} trained on an answer${learned === null ? '' : ` (${learned}, learned as they are)`}, ` +
      `${percent(sources.gold / visits)} on gold by the coin and ${percent(replaced / visits)} on gold in place of an answer that was unusable` +
      `${why === null ? '' : ` (${why})`}: ${goldShare === null ? 'α =' : `α = ${goldShare} asked for,`} ${fixed(alpha)} in effect.`
    );
  });
}

function differenceSentence(
  results: Results,
  [before, after]: readonly [Point, Point],
  what: string,
): string[] {
  const retention = retentionDifference(results, before, after);
  const target = targetDifference(results, before, after);
  const sets = [before, after].flatMap(point => evaluationOf(results, point)?.sets ?? []);
  const isDoubtful = endlessSets(sets, endlessBound(results)).length > 0;
  const parts = [
    ...(retention === null ? [] : [isDoubtful ? unjudgedText : `retention ${changeText(retention)}`]),
    ...(target === null ? [] : [`target accuracy ${changeText(target)}`]),
  ];
  return parts.length === 0 ? [] : [`${what}: ${parts.join(', ')} (paired item by item).`];
}

// report.json: the numbers of the report for programs. Pure.

/** Values that were not measured are null; shares, not points; intervals are of 95 %. */
export type SummaryRecord = {
  readonly format: 1;
  readonly id: string;
  readonly name: string;
  readonly method: string;
  readonly status: string;
  /** Those of the final table, with the verdict on retention over all and of each set. */
  readonly rows: readonly ResultRow[];
  /** What retention.max_drop demands of the trained model; null where nothing is demanded. */
  readonly gate: Gate | null;
};

/** The record of one run. */
export function summaryRecord(analysis: Analysis): SummaryRecord {
  const { results, rows } = analysis;
  const { name, run } = results;
  return {
    format: 1,
    id: run.id,
    name,
    method: run.method,
    status: run.status,
    rows,
    gate: gateOf(analysis),
  };
}
