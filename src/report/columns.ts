/** Columns of the final table, for the terminal (narrow) and for pages (wide). Pure. */
import type { Accuracy, Change } from '../metrics/retention.ts';
import { changeText, exclusionOf, intervalNote, shortChangeText } from './changes.ts';
import { alphaText, controlNotes, endlessText, fallbackNotes, lostUpdateNotes } from './fallback-notes.ts';
import { amount, dash, fixed, shortDuration, signed, withInterval } from './format.ts';
import { againNotes } from './noise-floor.ts';
import { bestPoint, type Curve, lastPoint } from './points.ts';
import type { Results } from './results.ts';
import type { Analysis, ResultRow } from './rows.ts';
import { selectionNote } from './selection-sets.ts';
import { verdictNote, verdictText } from './verdicts.ts';

/** Narrow gives no intervals but that of Δ retention. */
export type Width = 'narrow' | 'wide';

export type Column = {
  /** Shared by neighbouring columns; '' for none. */
  readonly group: string;
  readonly title: string;
  readonly textOf: (row: ResultRow) => string;
};

/** The columns for which at least one row has a value; the first one names the row. */
export function columnsFor(rows: readonly ResultRow[], width: Width): Column[] {
  const isWide = width === 'wide';
  const target = isWide ? 'target accuracy' : 'target acc.';
  const pld = isWide ? 'test PLD' : 'PLD';
  const columns: Column[] = [
    { group: '', title: '', textOf: isWide ? rowLabel : shortLabel },
    { group: target, title: targetTemperature(rows), textOf: row => accuracyText(row.target, isWide) },
    { group: target, title: 'T=1', textOf: row => fixed(row.sampledTarget) },
    {
      group: isWide ? 'retention' : '',
      title: isWide ? 'Δ [95 % CI]' : 'Δ retention',
      textOf: row => `${(isWide ? changeText : shortChangeText)(row.change)}${row.isDoubtful ? ' ?' : ''}`,
    },
    ...endlessColumn(rows, isWide),
    {
      group: 'retention',
      title: 'verdict',
      textOf: row => (isWide && row.change !== null ? verdictText(row) : dash),
    },
    { group: '', title: isWide ? 'α in effect' : 'α', textOf: row => alphaText(row, isWide) ?? dash },
    { group: pld, title: 'end', textOf: row => fixed(row.pld) },
    { group: pld, title: 'drift', textOf: row => fixed(row.drift) },
    { group: 'KL(base‖model)', title: 'target', textOf: row => fixed(row.klTarget, 2) },
    {
      group: 'KL(base‖model)',
      title: isWide ? 'retention' : 'reten.',
      textOf: row => fixed(row.klRetention, 2),
    },
    ...ownColumns(isWide),
    {
      group: 'text bits/byte',
      title: isWide ? 'Δ [95 % CI]' : 'Δ',
      textOf: ({ textChange: change }) =>
        change === null
          ? dash
          : `${signed(change.mean, 3)}${isWide ? ` [${signed(change.interval.low, 3)}, ${signed(change.interval.high, 3)}]` : ''}`,
    },
    {
      group: 'tokens',
      title: isWide ? 'trained' : 'train',
      textOf: row => costText(row, cost => amount(cost.trainTokens)),
    },
    {
      group: 'tokens',
      title: 'sampled',
      textOf: ({ cost }) => (cost === null || cost.sampledTokens === 0 ? dash : amount(cost.sampledTokens)),
    },
    { group: '', title: 'time', textOf: row => costText(row, cost => shortDuration(cost.seconds)) },
  ];
  return columns.filter(({ textOf }) => rows.some(row => textOf(row) !== dash));
}

/** Tables of several runs may have several. */
function targetTemperature(rows: readonly ResultRow[]): string {
  return [...new Set(rows.map(({ temperatures }) => temperatures.target))].join(' or ');
}

/** Of what a model says itself. */
function ownColumns(isWide: boolean): Column[] {
  const measures = [
    ['KL(model‖base)', one => fixed(one.perSequence, 2)],
    ['entropy', one => fixed(one.entropyPerToken, 2)],
    ['distinct', one => fixed(one.distinct, 2)],
  ] as const satisfies readonly (readonly [string, (one: MeasuredAnswers) => string])[];
  return measures.flatMap(([group, textOf]) =>
    (['target', 'retention'] as const).map(role => ({
      group,
      title: isWide || role === 'target' ? role : 'reten.',
      textOf: ({ own }: ResultRow) => (own?.[role] ? textOf(own[role]) : dash),
    })),
  );
}

type MeasuredAnswers = NonNullable<NonNullable<ResultRow['own']>['target']>;

/** Beside Δ where some answer to a retention set has no end. */
function endlessColumn(rows: readonly ResultRow[], isWide: boolean): Column[] {
  if (!rows.some(({ endless }) => (endless?.unfinished ?? 0) > 0)) return [];
  const [group, title] = isWide ? ['retention', 'no end'] : ['', 'cut'];
  return [{ group, title, textOf: row => endlessText(row, isWide) ?? dash }];
}

/** `SFT, last point (step 912)` */
function rowLabel({ label, kind, step }: ResultRow): string {
  if (kind === 'base') return label;
  const point = kind === 'last' ? 'last point' : 'best recorded point';
  return `${label}, ${point} (step ${step})`;
}

/** What rows exclude whose items all agree. */
export function exclusionNotes(rows: readonly ResultRow[]): string[] {
  return rows.flatMap(row => {
    const excluded = row.change === null || row.isDoubtful ? null : exclusionOf(row.change);
    return excluded === null ? [] : [`Retention, ${rowLabel(row)}: ${excluded}.`];
  });
}

/** What must be known to read the table: one sentence each. */
export function tableNotes({
  rows,
  curves,
  results,
}: Pick<Analysis, 'rows' | 'curves'> & { results?: Results }): string[] {
  const change = rows.find(row => row.change !== null)?.change ?? null;
  const target = rows.find(row => row.target !== null)?.target ?? null;
  const has = (test: (row: ResultRow) => boolean) => rows.some(test);
  const margins = [...new Set(rows.map(({ margin }) => margin))];
  return [
    ...fallbackNotes(rows, shortLabel),
    ...lostUpdateNotes(results),
    ...selectionNote(results?.selectionSets ?? []),
    ...(change === null ? [] : [retentionNote(change), ...margins.map(verdictNote)]),
    ...(target === null
      ? []
      : [
          `Target accuracy: ${items(target)}, ${targetTemperature(rows)}${has(row => row.sampledTarget !== null) ? '; T=1: one sampled answer for each item' : ''}.`,
        ]),
    ...bestNotes(rows, curves),
    ...controlNotes(rows),
    ...(has(({ pld }) => pld !== null)
      ? [
          'PLD: negative log-likelihood of test gold, nats per token; drift: end minus the lowest point up to there.',
        ]
      : []),
    ...(has(({ klTarget, klRetention }) => klTarget !== null || klRetention !== null)
      ? ['KL(base‖model): nats per sequence, on stored samples of the base.']
      : []),
    ...(has(({ own }) => own !== null)
      ? [
          'KL(model‖base): nats per sequence, over the vocabulary in the place of each token of answers that the model gave at temperature 1; entropy: nats per token of those; distinct: share of different answers to a prompt.',
        ]
      : []),
    ...againNotes(results),
    ...(has(({ cost }) => cost !== null) ? [costNote(rows)] : []),
    ...(has(({ cost }) => cost?.precision === 'share') ? ['≈: the share of steps up to that point.'] : []),
    ...missingNotes(rows),
  ];
}

function costNote(rows: readonly ResultRow[]): string {
  const parts = rows
    .filter(({ cost }) => (cost?.includes.length ?? 0) > 0)
    .map(({ label, cost }) => `; ${label} includes ${cost?.includes.join(' and ')}`);
  return `Cost: training and sampling without evaluation${[...new Set(parts)].join('')}.`;
}

function missingNotes(rows: readonly ResultRow[]): string[] {
  const missing = new Set(rows.flatMap(({ cost }) => cost?.missing ?? []));
  return missing.size === 0
    ? []
    : [`≥: from the store came ${[...missing].join(' and ')}; what that cost is not counted here.`];
}

function bestNotes(rows: readonly ResultRow[], curves: readonly Curve[]): string[] {
  const also = curves.filter(
    curve =>
      curve.training.role !== 'control' && bestPoint(curve) === lastPoint(curve) && bestPoint(curve) !== null,
  );
  const labels = also.map(({ training }) => training.label).join(', ');
  return [
    ...(rows.some(({ kind }) => kind === 'best')
      ? [
          'Best: the recorded point with the highest target accuracy, chosen on the same items that it is reported on, so optimistic; for a baseline this is early stopping.',
        ]
      : []),
    ...(also.length === 0
      ? []
      : [`${labels}: the last recorded point is also the one with the highest target accuracy.`]),
  ];
}

function retentionNote({ sets, items: count }: Change): string {
  const over = sets === 1 ? 'of 1 set' : `averaged over ${sets} sets`;
  return `Δ retention: accuracy minus that of the base, ${over}, ${count} items; ${intervalNote}.`;
}

function items({ items: count, sets }: Accuracy): string {
  return sets === 1 ? `${count} items` : `${count} items in ${sets} sets`;
}

/** `SFT best @684` */
export function shortLabel({ label, kind, step }: ResultRow): string {
  if (kind === 'base') return label;
  return `${label}${kind === 'best' ? ' best' : ''} @${step}`;
}

function accuracyText(accuracy: Accuracy | null, isWide: boolean): string {
  if (accuracy === null) return dash;
  return isWide
    ? withInterval(accuracy.mean, accuracy.interval, fixed, value => fixed(value, 2))
    : fixed(accuracy.mean);
}

const precisionSigns = { measured: '', share: '≈', partial: '≥' } as const;

function costText({ cost }: ResultRow, text: (cost: NonNullable<ResultRow['cost']>) => string): string {
  return cost === null ? dash : `${precisionSigns[cost.precision]}${text(cost)}`;
}
