/** What did not go as the method or the measurement means it, beside the numbers that it touches: answers without an end, gold in their place. Pure. */
import { lostSentence, worthSaying } from '../run/lost-updates.ts';
import type { SetRecord } from '../run/records.ts';
import { describeFaults, mixtureOf } from '../run/sources.ts';
import type { Training } from '../run/trainings.ts';
import { counted, fixed, percent } from './format.ts';
import { type Point, type SetAccuracy, valueAt } from './points.ts';
import type { Results } from './results.ts';
import type { ResultRow, RowMixture } from './rows.ts';

/** Answers in words, and how many of them were cut at their length limit. */
export type Endless = { readonly answers: number; readonly unfinished: number };

/** Of runs that were made before there was a bound, and of models that no run made. */
export const usualBound = 0.1;

/** Over the sets of a role that are answered in words; null where there are none. */
export function endlessOf({ sets }: Pick<Point, 'sets'>, role: SetRecord['role']): Endless | null {
  const answered = sets.filter(set => set.role === role && needsEnd(set));
  if (answered.length === 0) return null;
  const sum = (key: 'items' | 'unfinished') => answered.reduce((total, set) => total + set[key], 0);
  return { answers: sum('items'), unfinished: sum('unfinished') };
}

/** Whether more than this share of the answers to a set has no end. */
export function isEndless({ scorer, unfinished, items }: Answered, bound: number): boolean {
  return needsEnd({ scorer }) && unfinished > bound * items;
}

/** Options have no end of their own, and of LAMBADA the first word counts. */
function needsEnd({ scorer }: Pick<SetAccuracy, 'scorer'>): boolean {
  return !['multiple_choice', 'lambada'].includes(scorer);
}

type Answered = Pick<SetAccuracy, 'scorer' | 'unfinished' | 'items'>;

/** Names of the retention sets of which too many answers have no end for their accuracy to say what is known. */
export function endlessSets(sets: readonly SetRecord[], bound: number): string[] {
  return sets.flatMap(({ name, role, scorer, unfinished, items }) =>
    role === 'retention' && isEndless({ scorer, unfinished, items: items.length }, bound) ? [name] : [],
  );
}

export function endlessBound({ config }: Results): number {
  const bound = valueAt(config, ['retention', 'max_unfinished_fraction']);
  return typeof bound === 'number' ? bound : usualBound;
}

/** In the place of a difference of retention. */
export const unjudgedText = 'retention not measured, because too many answers have no end';

/** What the visits of a training trained on; null where its targets are not drawn. */
export function mixtureOfTraining({ curricula }: Results, { name, goldShare }: Training): RowMixture | null {
  const curriculum = curricula.find(({ training }) => training === name);
  if (curriculum === undefined) return null;
  const { sources } = curriculum;
  const [why, learned] = [describeFaults(sources, 'gold'), describeFaults(sources, 'answer')];
  return { ...mixtureOf(sources), asked: goldShare, why, learned };
}

/** `8 of 8`, narrow `100%`: answers without an end; null where none is answered in words. */
export function endlessText({ endless }: Pick<ResultRow, 'endless'>, isWide: boolean): string | null {
  if (endless === null) return null;
  const { unfinished, answers } = endless;
  return isWide ? `${unfinished} of ${answers}` : percent(unfinished / answers).replaceAll(' ', '');
}

/** The share of gold in effect, where there is room behind the one asked for; null where targets are not drawn. */
export function alphaText({ mixture }: Pick<ResultRow, 'mixture'>, isWide: boolean): string | null {
  if (mixture === null) return null;
  const { asked, replaced, alpha } = mixture;
  const effective = fixed(alpha, 2);
  if (!isWide) return effective.replace(/^0/, '');
  return asked === null || replaced === 0 ? effective : `${asked} → ${effective}`;
}

/** What must be known of answers without an end and of gold in place of answers; nothing where there were none. */
export function fallbackNotes(rows: readonly ResultRow[], labelOf: (row: ResultRow) => string): string[] {
  return [...endlessNotes(rows, labelOf), ...mixtureNotes(rows)];
}

function endlessNotes(rows: readonly ResultRow[], labelOf: (row: ResultRow) => string): string[] {
  const listOf = (key: 'endless' | 'targetEndless', role: SetRecord['role']) => {
    const cut = rows.filter(row => (row[key]?.unfinished ?? 0) > 0);
    if (cut.length === 0) return [];
    const parts = cut.map(
      row => `${row[key]?.unfinished} of ${counted(row[key]?.answers ?? 0, 'answer')} of ${labelOf(row)}`,
    );
    return [`${parts.join(', ')} to the ${role} sets`];
  };
  const lists = [...listOf('endless', 'retention'), ...listOf('targetEndless', 'target')];
  if (lists.length === 0) return [];
  const found = `No end: ${lists.join('; ')} never ended and were cut at max_new_tokens; exact_match counts such answers as wrong.`;
  if (!rows.some(({ isDoubtful }) => isDoubtful)) return [found];
  return [
    `${found} Δ with a ? is not to be trusted (retention.max_unfinished_fraction): it measures who stops, not only who knows. Say where answers end (stop: ["\\n"] of the set), or raise max_new_tokens.`,
  ];
}

function mixtureNotes(rows: readonly ResultRow[]): string[] {
  const notes = rows.flatMap(({ label, mixture }) => {
    if (mixture === null) return [];
    const { replaced, drawn, why, learned, alpha } = mixture;
    const answers = counted(drawn, 'drawn answer');
    return [
      ...(replaced === 0
        ? []
        : [
            `${label}: gold took the place of ${replaced} of ${answers} (${why}): α ${fixed(alpha)} in effect.`,
          ]),
      ...(learned === null ? [] : [`${label}: learned as they are: ${learned} of ${answers}.`]),
    ];
  });
  return [...new Set(notes)]; // a training has two rows
}

/** Trainings whose weights could not follow their gradients, from a twentieth of the updates on; `run` names one of several before them. */
export function lostUpdateNotes(results: Results | undefined, run = ''): string[] {
  return (results?.trainings ?? []).flatMap(({ name, label }) => {
    const share = results?.lostUpdates[name] ?? 0;
    const lost = lostSentence(share, results?.config?.dtype);
    return share <= worthSaying
      ? []
      : [`${run}${label}: in a step ${lost}. What did not move looks like retention.`];
  });
}

/** What controls trained on, and how many answers had no end of those that no curriculum tells of. */
export function controlNotes(rows: readonly ResultRow[]): string[] {
  const notes = rows
    .filter(({ role }) => role === 'control')
    .map(
      ({ label, trainsOn }) => `${label}: a control${trainsOn === null ? '' : `, trained on ${trainsOn}`}.`,
    );
  return [...new Set(notes)];
}
