/** Two or more runs side by side: their rows, what differs in results and in settings, and what forbids a comparison. */

import { UsageError } from '../errors.ts';
import { accuracyChange, type Change } from '../metrics/retention.ts';
import { changeText, exclusionOf } from './changes.ts';
import { columnsFor, shortLabel, tableNotes } from './columns.ts';
import { endlessBound, endlessSets, lostUpdateNotes, unjudgedText } from './fallback-notes.ts';
import { dash, settingText } from './format.ts';
import { haveSameItems, pairsOf } from './pairs.ts';
import { bootstrapSeed, type Curve, evaluationOf, lastPoint, setsOf } from './points.ts';
import type { Results } from './results.ts';
import { type Analysis, analyse } from './rows.ts';
import { selectionNote, withoutSets } from './selection-sets.ts';
import { statusSentence, summaryRecord } from './summary.ts';
import { alignedTable, markdownTable, wrap } from './table.ts';
import { verdictSentence } from './verdicts.ts';

/** A training of a later run against one of the first run at their last points, paired on the same items. */
export type RunDifference = {
  readonly run: string;
  readonly training: string;
  readonly label: string;
  /** The training of the first run. */
  readonly against: string;
  readonly againstLabel: string;
  readonly retention: Change | null;
  readonly target: Change | null;
  /** Whether too many answers of one of them have no end for `retention` to mean anything. */
  readonly isDoubtful: boolean;
};

export type Comparison = {
  /** Named A, B, C, … in the order given. */
  readonly runs: readonly { readonly letter: string; readonly analysis: Analysis }[];
  readonly differences: readonly RunDifference[];
  /** Settings that are not the same in all runs, but for names and places; null where a run does not have one. */
  readonly settings: readonly { readonly key: string; readonly values: readonly (string | null)[] }[];
  /** Why numbers may not be comparable. */
  readonly cautions: readonly string[];
};

/** What is the same and what differs. Throws `UsageError` for fewer than two runs. */
export function compareResults(given: readonly Results[]): Comparison {
  const chose = given.flatMap(({ selectionSets }) => selectionSets);
  const results = given.map(one => withoutSets(one, chose));
  if (results.length < 2)
    throw new UsageError('a comparison needs at least two runs', { fix: 'npx tms compare RUN RUN …' });
  const runs = results.map((one, i) => ({ letter: letterOf(i), analysis: analyse(one) }));
  const [first, ...others] = runs;
  const differences = others.flatMap(({ letter, analysis }) =>
    first === undefined ? [] : differencesOf(first.analysis, analysis, letter),
  );
  return { runs, differences, settings: settingDifferences(results), cautions: cautionsOf(results) };
}

/** Lines for a terminal. */
export function comparisonText(comparison: Comparison): string[] {
  const { runs, settings } = comparison;
  const rows = runs.flatMap(({ analysis }) => analysis.rows);
  const columns = columnsFor(rows, 'narrow');
  const cells = runs.flatMap(({ letter, analysis }) =>
    analysis.rows.map(row =>
      columns.map(({ textOf }, i) => (i === 0 ? `${letter} ${textOf(row)}` : textOf(row))),
    ),
  );
  const head = columns.map(({ title }) => title);
  const groups = columns.map(({ group }) => group);
  const letters = runs.map(({ letter }) => letter);
  return [
    ...runs.map(
      ({ letter, analysis }) => `${letter}  ${analysis.results.name}  ${analysis.results.directory}`,
    ),
    '',
    ...alignedTable([head, ...cells], groups),
    '',
    ...notesOf(comparison, 'Caution:').flatMap(note => wrap(note, 100)),
    '',
    ...(settings.length === 0
      ? ['All settings are the same.']
      : alignedTable([['setting', ...letters], ...settingCells(settings)])),
  ];
}

/** The same as Markdown. */
export function comparisonMarkdown(comparison: Comparison): string[] {
  const { runs, settings } = comparison;
  const rows = runs.flatMap(({ analysis }) => analysis.rows);
  const columns = columnsFor(rows, 'wide');
  const cells = runs.flatMap(({ letter, analysis }) =>
    analysis.rows.map(row => [letter, ...columns.map(({ textOf }) => textOf(row))]),
  );
  const head = ['run', ...columns.map(({ group, title }) => (group === '' ? title : `${group}: ${title}`))];
  return [
    ...runs.map(
      ({ letter, analysis }) => `- ${letter}: ${analysis.results.name}, ${analysis.results.directory}`,
    ),
    '',
    ...markdownTable([head, ...cells]),
    '',
    ...notesOf(comparison, '**Caution:**').map(note => `- ${note}`),
    '',
    ...(settings.length === 0
      ? ['All settings are the same.']
      : markdownTable(
          [['setting', ...runs.map(({ letter }) => letter)], ...settingCells(settings)],
          'texts',
        )),
  ];
}

/** The same for programs. */
export function comparisonRecord({ runs, ...comparison }: Comparison) {
  const records = runs.map(({ letter, analysis }) => ({
    letter,
    directory: analysis.results.directory,
    ...summaryRecord(analysis),
  }));
  return { runs: records, ...comparison };
}

function letterOf(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + (index % 26)).repeat(1 + Math.floor(index / 26));
}

/** Null where the items are not the same. */
function differencesOf(before: Analysis, after: Analysis, run: string): RunDifference[] {
  return pairsOf(before.curves, after.curves).flatMap(pair => {
    const [old, now] = [lastEvaluation(before, pair.before), lastEvaluation(after, pair.after)];
    if (old === undefined || now === undefined) return [];
    const { name: training, label } = pair.after.training;
    const { name: against, label: againstLabel } = pair.before.training;
    const isPaired = haveSameItems(old, now);
    const change = (role: 'target' | 'retention') =>
      isPaired ? accuracyChange(setsOf(old, role), setsOf(now, role), bootstrapSeed) : null;
    const changes = { retention: change('retention'), target: change('target') };
    const isDoubtful = [
      endlessSets(old.sets, endlessBound(before.results)),
      endlessSets(now.sets, endlessBound(after.results)),
    ].some(names => names.length > 0);
    return [{ run, training, label, against, againstLabel, ...changes, isDoubtful }];
  });
}

function lastEvaluation({ results }: Analysis, curve: Curve) {
  const point = lastPoint(curve);
  return point === null ? undefined : evaluationOf(results, point);
}

function differenceText({ run, label, againstLabel, retention, target, isDoubtful }: RunDifference): string {
  const name =
    label === againstLabel
      ? `${run} minus A, ${label}, last points`
      : `${run} ${label} minus A ${againstLabel}, last points`;
  if (retention === null && target === null)
    return `${name}: evaluated on other items, so no paired difference.`;
  const text = (what: string, change: Change | null) =>
    change === null
      ? []
      : [`${what} ${[changeText(change), exclusionOf(change)].filter(part => part !== null).join(', ')}`];
  const kept = isDoubtful ? [unjudgedText] : text('retention accuracy', retention);
  return `${name}: ${[...kept, ...text('target accuracy', target)].join(', ')} (paired item by item; covers items, not seeds).`;
}

/** Cautions, differences, verdicts, and notes on the table of all runs; which point is best is seen in it. */
function notesOf({ runs, differences, cautions }: Comparison, caution: string): string[] {
  const verdicts = runs.flatMap(({ letter, analysis }) =>
    analysis.rows.map(row => verdictSentence(row, `${letter} ${shortLabel(row)}`)),
  );
  return [
    ...cautions.map(text => `${caution} ${text}`),
    ...differences.map(differenceText),
    ...verdicts.filter(text => text !== null),
    ...runs.flatMap(({ letter, analysis }) => lostUpdateNotes(analysis.results, `${letter} `)),
    ...selectionNote(runs[0]?.analysis.results.selectionSets ?? []),
    ...tableNotes({ rows: runs.flatMap(({ analysis }) => analysis.rows), curves: [] }),
  ];
}

function cautionsOf(results: readonly Results[]): string[] {
  const differ = (value: (run: Results) => string) => new Set(results.map(value)).size > 1;
  return [
    ...results.flatMap((one, i) => {
      const status = statusSentence(one);
      return status === null ? [] : [`${letterOf(i)}: ${status}`];
    }),
    ...(differ(({ run }) => run.baseDigest)
      ? ['the runs have different base models, so each Δ retention is against another base.']
      : []),
    ...(differ(({ run }) => run.dataDigest) ? ['the runs have different data.'] : []),
    ...changedSets(results),
    ...(differ(({ run }) => run.tmsVersion) ? ['the runs were made by different versions of tms.'] : []),
  ];
}

/** Sets of one name that are not asked and scored alike in all runs: a path may differ. */
function changedSets(results: readonly Results[]): string[] {
  const names = new Set(
    results.flatMap(({ evaluations }) => evaluations[0]?.sets.map(({ name }) => name) ?? []),
  );
  const digestsOf = (name: string) =>
    results.flatMap(({ run }) =>
      Object.entries(run.evaluationDigests).flatMap(([key, digest]) =>
        key.startsWith(`evaluation set ${name} (`) ? [digest] : [],
      ),
    );
  return [...names]
    .filter(name => new Set(digestsOf(name)).size > 1)
    .map(name => `the evaluation set ${name} is not the same: its items, how they are asked, or the scorer.`);
}

/** Differ by design between runs. */
const places = new Set(['output_dir', 'run_name']);

function settingDifferences(results: readonly Results[]): Comparison['settings'] {
  const all = results.map(({ config }) => flattened(config ?? {}));
  const keys = [...new Set(all.flatMap(settings => [...settings.keys()]))].filter(key => !places.has(key));
  return keys
    .map(key => ({ key, values: all.map(settings => settings.get(key) ?? null) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** `{tms: {alpha: 0.25}}` → `tms.alpha: 0.25`; lists are values. */
function flattened(settings: Readonly<Record<string, unknown>>, prefix = ''): Map<string, string> {
  const entries = Object.entries(settings).flatMap(([key, value]): [string, string][] => {
    const isBlock = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isBlock
      ? [...flattened(value as Record<string, unknown>, `${prefix}${key}.`)]
      : [[`${prefix}${key}`, settingText(value)]];
  });
  return new Map(entries);
}

function settingCells(settings: Comparison['settings']): string[][] {
  return settings.map(({ key, values }) => [key, ...values.map(value => value ?? dash)]);
}
