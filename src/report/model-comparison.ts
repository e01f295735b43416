/** One or two models on the same suites: accuracies, paired changes, verdicts, flips. Pure. */
import {
  type Accuracy,
  accuracyChange,
  accuracyOf,
  type Change,
  type Flips,
  flipsBetween,
  type Verdict,
  verdictOf,
} from '../metrics/retention.ts';
import type { SetRecord } from '../run/records.ts';
import { exclusionOf, intervalNote, shortChangeText } from './changes.ts';
import { isEndless, usualBound } from './fallback-notes.ts';
import { counted, fixed, withInterval } from './format.ts';
import { bootstrapSeed } from './points.ts';
import { alignedTable, markdownTable, wrap } from './table.ts';
import { verdictText } from './verdicts.ts';

/** A suite as one model or two did it; `change`, `verdict` and `flips` are of the second against the first. */
export type ComparedSuite = {
  readonly name: string;
  readonly scorer: string;
  readonly items: number;
  readonly base: Accuracy;
  readonly tuned: Accuracy | null;
  readonly change: Change | null;
  readonly verdict: Verdict | null;
  readonly flips: Flips | null;
  /** Answers without an end, of each model. */
  readonly unfinished: readonly number[];
  /** Numbers of the scorer's own, of each model. */
  readonly measures: readonly (Readonly<Record<string, number>> | null)[];
};

export type ModelComparison = {
  readonly margin: number;
  readonly suites: readonly ComparedSuite[];
  /** The mean over suites. */
  readonly overall: Pick<ComparedSuite, 'base' | 'tuned' | 'change' | 'verdict'>;
};

/** `tuned` null: one model alone. Throws RangeError unless both were asked the same. */
export function compareModels(
  base: readonly SetRecord[],
  tuned: readonly SetRecord[] | null,
  margin: number,
): ModelComparison {
  const of = (sets: readonly SetRecord[], others: readonly SetRecord[] | null) => {
    const change = others === null ? null : accuracyChange(sets, others, bootstrapSeed);
    const isDoubtful = [...sets, ...(others ?? [])].some(isCut);
    return {
      base: accuracyOf(sets, bootstrapSeed) as Accuracy,
      tuned: others === null ? null : accuracyOf(others, bootstrapSeed),
      change,
      verdict: others === null ? null : verdictOf(isDoubtful ? null : change, margin),
    };
  };
  const suites = base.map((set, i): ComparedSuite => {
    const other = tuned?.[i] ?? null;
    const both = other === null ? [set] : [set, other];
    return {
      ...of([set], other === null ? null : [other]),
      ...{ name: set.name, scorer: set.scorer, items: set.items.length },
      flips: other === null ? null : (flipsBetween([set], [other])[0] ?? null),
      unfinished: both.map(({ unfinished }) => unfinished),
      measures: both.map(({ measures }) => measures ?? null),
    };
  });
  return { margin, suites, overall: of(base, tuned) };
}

function isCut({ scorer, unfinished, items }: SetRecord): boolean {
  return isEndless({ scorer, unfinished, items: items.length }, usualBound);
}

/** Lines for a terminal, at most 100 columns. */
export function modelTable(comparison: ModelComparison): string[] {
  const cells = cellsOf(comparison, value => fixed(value).replace('0.', '.'));
  return [...alignedTable(cells), '', ...notesOf(comparison).flatMap(note => wrap(note, 100))];
}

/** The same as Markdown. */
export function modelMarkdown(comparison: ModelComparison): string[] {
  const cells = cellsOf(comparison, fixed);
  return [...markdownTable(cells), '', ...notesOf(comparison).map(note => `- ${note}`)];
}

type Row = ModelComparison['overall'] & { readonly name: string; readonly items: number };

function cellsOf(
  { suites, overall, margin }: ModelComparison,
  format: (value: number) => string,
): string[][] {
  const items = suites.reduce((sum, suite) => sum + suite.items, 0);
  const mean = suites.length < 2 ? [] : [{ ...overall, name: `mean of ${suites.length}`, items }];
  const rows: Row[] = [...suites, ...mean];
  const isPair = overall.tuned !== null;
  const head = isPair
    ? ['suite', 'items', 'base', 'tuned', 'Δ [95 %]', 'won', 'lost', 'verdict']
    : ['suite', 'items', 'accuracy [95 %]'];
  const cells = rows.map(({ name, items: count, base, tuned, change, verdict }) =>
    isPair
      ? [
          ...[name, String(count), format(base.mean), format(tuned?.mean ?? Number.NaN)],
          ...[shortChangeText(change), String(change?.gained ?? 0), String(change?.lost ?? 0)],
          verdictText({ change, verdict, margin }),
        ]
      : [name, String(count), withInterval(base.mean, base.interval, format)],
  );
  return [head, ...cells];
}

function notesOf({ suites, overall, margin }: ModelComparison): string[] {
  const exclusions = suites.flatMap(({ name, change, verdict }) => {
    const text = change === null || verdict === 'not measured' ? null : exclusionOf(change);
    return text === null ? [] : [`${name}: ${text}.`];
  });
  const unfinished = suites.flatMap(({ name, scorer, items, unfinished: counts }) =>
    counts.some(count => isEndless({ scorer, items, unfinished: count }, usualBound))
      ? [
          `${name}: ${counts.join(' and ')} of ${counted(items, 'answer')} have no end: it measures who stops.`,
        ]
      : [],
  );
  const own = suites.flatMap(({ name, measures }) => {
    const texts = measures.map(one => (one === null ? '' : measuresText(one)));
    return texts.every(text => text === '') ? [] : [`${name}, lm-eval's own numbers: ${texts.join(' | ')}`];
  });
  const verdicts = `Δ: tuned minus base on the same items, ${intervalNote}. Verdicts: kept, where it lies above −${margin} (--margin); lost, where it lies below 0 and reaches the margin; not measured, where more than a tenth of the answers have no end; else inconclusive.`;
  return [...own, ...unfinished, ...exclusions, ...(overall.tuned === null ? [] : [verdicts])];
}

function measuresText(measures: Readonly<Record<string, number>>): string {
  return Object.entries(measures)
    .filter(([name]) => !name.includes('stderr'))
    .map(([name, value]) => `${name} ${fixed(value, 4)}`)
    .join(', ');
}
