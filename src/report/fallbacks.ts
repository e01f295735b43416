/** What did not go as the method or the measurement means it, beside the numbers that it touches: answers without an end, gold in their place. Pure. */
import { lostSentence, worthSaying } from '../run/lost-updates.ts';
import { describeFaults, type Mixture, mixtureOf } from '../run/mixture.ts';
import type { SetRecord } from '../run/records.ts';
import { counted, fixed, modelLabels, percent } from './format.ts';
import { type Point, type SetAccuracy, valueAt } from './points.ts';
import type { Results } from './results.ts';
import type { ResultRow } from './rows.ts';

/** Answers in words, and how many of them were cut at their length limit. */
export type Endless = { readonly answers: number; readonly unfinished: number };

/** Of runs that were made before there was a bound. */
const usualBound = 0.1;

/** Over the sets of a role that are answered in words; null where there are none. */
export function endlessOf({ sets }: Pick<Point, 'sets'>, role: SetRecord['role']): Endless | null {
  const answered = sets.filter(set => set.role === role && set.scorer !== 'multiple_choice');
  if (answered.length === 0) return null;
  const sum = (key: 'items' | 'unfinished') => answered.reduce((total, set) => total + set[key], 0);
  return { answers: sum('items'), unfinished: sum('unfinished') };
}

/** Whether more than this share of the answers to a set has no end. */
export function isEndless({ scorer, unfinished, items }: SetAccuracy, bound: number): boolean {
  return scorer !== 'multiple_choice' && unfinished > bound * items;
}

export function endlessBound({ config }: Results): number {
  const bound = valueAt(config, ['retention', 'max_unfinished_fraction']);
  return typeof bound === 'number' ? bound : usualBound;
}

/** What the student of a run trained on; null without one. */
export function mixtureIn({ curriculum, config }: Results): ResultRow['mixture'] {
  if (curriculum === null) return null;
  const asked = valueAt(config, ['tms', 'alpha']);
  const why = describeFaults(curriculum.sources, 'gold');
  return { ...mixtureOf(curriculum.sources), asked: typeof asked === 'number' ? asked : null, why };
}

/** `8 of 8`, narrow `100%`: answers without an end; null where none is answered in words. */
export function endlessText({ endless }: Pick<ResultRow, 'endless'>, isWide: boolean): string | null {
  if (endless === null) return null;
  const { unfinished, answers } = endless;
  return isWide ? `${unfinished} of ${answers}` : percent(unfinished / answers).replaceAll(' ', '');
}

/** The share of gold in effect, where there is room behind the one asked for; null for all but the student. */
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
  const mixtures = new Map<string, Mixture & { why: string | null }>();
  for (const { mixture } of rows) if (mixture !== null) mixtures.set(JSON.stringify(mixture), mixture);
  return [...mixtures.values()]
    .filter(({ replaced }) => replaced > 0)
    .map(
      ({ replaced, drawn, why, alpha }) =>
        `${modelLabels.student}: gold took the place of ${replaced} of ${counted(drawn, 'drawn answer')} (${why}): α ${fixed(alpha)} in effect.`,
    );
}

/** Trainings whose weights could not follow their gradients, from a twentieth of the updates on. */
export function lostUpdateNotes(results: Results | undefined): string[] {
  return Object.entries(results?.lostUpdates ?? {})
    .filter(([, share]) => share > worthSaying)
    .map(
      ([model, share]) =>
        `${modelLabels[model as keyof typeof modelLabels]}: in a step ${lostSentence(share, results?.config?.dtype)}. What did not move looks like retention.`,
    );
}

/** How many of the control's answers have no end; nothing where none is without. */
export function controlNotes(results: Results | undefined): string[] {
  const { unfinished = 0, answers = 0 } = results?.controlAnswers ?? {};
  if (unfinished === 0) return [];
  return [
    `Control: ${unfinished} of ${counted(answers, 'answer')} of the base had no end and were learned without one.`,
  ];
}
