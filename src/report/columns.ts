/** Columns of the final table, for the terminal (narrow) and for pages (wide). Pure. */
import type { Accuracy, Change } from '../metrics/retention.ts';
import { changeText, exclusionOf, intervalNote, shortChangeText } from './changes.ts';
import { alphaText, controlNotes, endlessText, fallbackNotes, lostUpdateNotes } from './fallbacks.ts';
import { amount, dash, fixed, modelLabels, shortDuration, withInterval } from './format.ts';
import { bestPoint, type Curve, lastPoint } from './points.ts';
import type { Results } from './results.ts';
import type { Analysis, ResultRow } from './rows.ts';
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
  const pld = isWide ? 'held-out PLD' : 'PLD';
  const columns: Column[] = [
    { group: '', title: '', textOf: isWide ? rowLabel : shortLabel },
    { group: target, title: 'greedy', textOf: row => accuracyText(row.target, isWide) },
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

/** Beside Δ where some answer to a retention set has no end. */
function endlessColumn(rows: readonly ResultRow[], isWide: boolean): Column[] {
  if (!rows.some(({ endless }) => (endless?.unfinished ?? 0) > 0)) return [];
  const [group, title] = isWide ? ['retention', 'no end'] : ['', 'cut'];
  return [{ group, title, textOf: row => endlessText(row, isWide) ?? dash }];
}

/** `SFT, last point (step 912)` */
function rowLabel({ model, kind, step }: ResultRow): string {
  if (kind === 'base') return modelLabels.base;
  const point = kind === 'last' ? 'last point' : 'best recorded point';
  return `${modelLabels[model]}, ${point} (step ${step})`;
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
    ...(change === null ? [] : [retentionNote(change), ...margins.map(verdictNote)]),
    ...(target === null
      ? []
      : [`Target accuracy: ${items(target)}, greedy; T=1: one sampled answer for each item.`]),
    ...bestNotes(rows, curves),
    ...(has(({ model }) => model === 'control')
      ? ['Control: trained equally long on the base’s own samples, without gold.', ...controlNotes(results)]
      : []),
    ...(has(({ pld }) => pld !== null)
      ? [
          'PLD: negative log-likelihood of held-out gold, nats per token; drift: end minus the lowest point up to there.',
        ]
      : []),
    ...(has(({ klTarget, klRetention }) => klTarget !== null || klRetention !== null)
      ? ['KL(base‖model): nats per sequence, on stored samples of the base.']
      : []),
    ...(has(({ cost }) => cost !== null) ? [costNote(has(({ model }) => model === 'student'))] : []),
    ...(has(({ cost }) => cost?.precision === 'share') ? ['≈: the share of steps up to that point.'] : []),
    ...(has(({ cost }) => cost?.precision === 'partial')
      ? ['≥: the SFT run was taken from the store; what it cost is not counted here.']
      : []),
  ];
}

function costNote(hasStudent: boolean): string {
  const student = hasStudent ? '; TMS includes its SFT run and the answers of the checkpoints' : '';
  return `Cost: training and sampling without evaluation${student}.`;
}

function bestNotes(rows: readonly ResultRow[], curves: readonly Curve[]): string[] {
  const also = curves
    .filter(
      curve =>
        curve.model !== 'control' && bestPoint(curve) === lastPoint(curve) && bestPoint(curve) !== null,
    )
    .map(
      ({ model }) =>
        `${modelLabels[model]}: its last recorded point is also the one with the highest target accuracy.`,
    );
  if (!rows.some(({ kind }) => kind === 'best')) return also;
  const note =
    'Best: the recorded point with the highest target accuracy, chosen on the same items that it is reported on, so optimistic; for SFT this is early stopping.';
  return [note, ...also];
}

function retentionNote({ sets, items: count }: Change): string {
  const over = sets === 1 ? 'of 1 set' : `averaged over ${sets} sets`;
  return `Δ retention: accuracy minus that of the base, ${over}, ${count} items; ${intervalNote}.`;
}

function items({ items: count, sets }: Accuracy): string {
  return sets === 1 ? `${count} items` : `${count} items in ${sets} sets`;
}

/** `SFT best @684` */
export function shortLabel({ model, kind, step }: ResultRow): string {
  if (kind === 'base') return modelLabels.base;
  return `${modelLabels[model]}${kind === 'best' ? ' best' : ''} @${step}`;
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
