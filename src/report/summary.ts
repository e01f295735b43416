/** The numbers of a run as sentences: no word that the numbers do not say. Pure. */

import { describeFaults, mixtureOf } from '../run/mixture.ts';
import { changeText } from './changes.ts';
import { counted, fixed, percent } from './format.ts';
import {
  bestPoint,
  type Curve,
  lastPoint,
  type Point,
  retentionDifference,
  type Trained,
  targetDifference,
  valueAt,
} from './points.ts';
import type { Results } from './results.ts';
import type { Analysis } from './rows.ts';

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

/** What separates TMS from SFT, paired on the same items: at their last points, and against the best recorded point of SFT. */
export function differenceSentences({ results, curves }: Analysis): string[] {
  const [sft, student] = [curveOf(curves, 'sft'), curveOf(curves, 'student')];
  const sftEnd = sft === null ? null : lastPoint(sft);
  const studentEnd = student === null ? null : lastPoint(student);
  const sftBest = sft === null ? null : bestPoint(sft);
  if (sftEnd === null || studentEnd === null) return [];
  const atEnd = differenceSentence(results, sftEnd, studentEnd, 'TMS minus SFT, last points');
  if (sftBest === null || sftBest === sftEnd) return atEnd;
  const what = `TMS, last point, minus SFT, best recorded point (step ${sftBest.step})`;
  return [...atEnd, ...differenceSentence(results, sftBest, studentEnd, what)];
}

/** What the intervals and comparisons of every report of one run do not cover. */
export const cautions =
  'One base model, one seed, one recipe: the intervals cover the choice of evaluation items and nothing else. A difference between last points compares equally long trainings; whether SFT stopped early would do as well is what its best recorded point is for.';

/** How the student's targets were mixed; null without a curriculum. */
export function curriculumSentence({ curriculum, config }: Results): string | null {
  if (curriculum === null) return null;
  const { sources } = curriculum;
  const { visits, drawn, replaced, alpha } = mixtureOf(sources);
  const why = describeFaults(sources, 'gold');
  const learned = describeFaults(sources, 'answer');
  const asked = valueAt(config, ['tms', 'alpha']);
  return (
    `Of ${counted(visits, 'visit')}, ${percent((drawn - replaced) / visits)} trained on an answer${learned === null ? '' : ` (${learned}, learned as they are)`}, ` +
    `${percent(sources.gold / visits)} on gold by the coin and ${percent(replaced / visits)} on gold in place of an answer that was unusable` +
    `${why === null ? '' : ` (${why})`}: ${typeof asked === 'number' ? `α = ${asked} asked for` : 'α unknown'}, ${fixed(alpha)} in effect.`
  );
}

/** The curve of a model; null where it was not trained or not measured. */
export function curveOf(curves: readonly Curve[], model: Trained): Curve | null {
  return curves.find(curve => curve.model === model) ?? null;
}

function differenceSentence(results: Results, before: Point, after: Point, what: string): string[] {
  const retention = retentionDifference(results, before, after);
  const target = targetDifference(results, before, after);
  const parts = [
    ...(retention === null ? [] : [`retention ${changeText(retention)}`]),
    ...(target === null ? [] : [`target accuracy ${changeText(target)}`]),
  ];
  return parts.length === 0 ? [] : [`${what}: ${parts.join(', ')} (paired item by item).`];
}
