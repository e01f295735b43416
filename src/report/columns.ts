/** Columns of the final table, for the terminal (narrow) and for pages (wide). Pure. */
import type { Accuracy, Change } from '../metrics/retention.ts';
import { amount, dash, fixed, interval, modelLabels, shortDuration, signed } from './format.ts';
import { bestPoint, type Curve, lastPoint } from './points.ts';
import type { Analysis, ResultRow } from './rows.ts';

/** Narrow gives an interval as ± half its width, wide gives both ends. */
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
  const columns: Column[] = [
    { group: '', title: '', textOf: isWide ? rowLabel : shortLabel },
    { group: target, title: 'greedy', textOf: row => accuracyText(row.target, isWide) },
    { group: target, title: 'T=1', textOf: row => fixed(row.sampledTarget) },
    {
      group: isWide ? 'retention' : '',
      title: isWide ? 'Δ [95 % CI]' : 'Δ retention',
      textOf: row => changeText(row.change, isWide),
    },
    { group: 'held-out PLD', title: 'end', textOf: row => fixed(row.pld) },
    { group: 'held-out PLD', title: 'drift', textOf: row => fixed(row.drift) },
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

/** `SFT, last point (step 912)` */
export function rowLabel({ model, kind, step }: ResultRow): string {
  if (kind === 'base') return modelLabels.base;
  const point = kind === 'last' ? 'last point' : 'best recorded point';
  return `${modelLabels[model]}, ${point} (step ${step})`;
}

/** What must be known to read the table: one sentence each. */
export function tableNotes({ rows, curves }: Pick<Analysis, 'rows' | 'curves'>): string[] {
  const change = rows.find(row => row.change !== null)?.change ?? null;
  const target = rows.find(row => row.target !== null)?.target ?? null;
  const has = (test: (row: ResultRow) => boolean) => rows.some(test);
  return [
    ...(change === null ? [] : [retentionNote(change)]),
    ...(target === null
      ? []
      : [`Target accuracy: ${items(target)}, greedy; T=1: one sampled answer for each item.`]),
    ...bestNotes(rows, curves),
    ...(has(({ model }) => model === 'control')
      ? ['Control: trained equally long on the base’s own samples, without gold.']
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
  return `Δ retention: accuracy minus that of the base, ${over}, ${count} items; 95 % interval by paired bootstrap: it covers the choice of items, not of seeds (one seed).`;
}

function items({ items: count, sets }: Accuracy): string {
  return sets === 1 ? `${count} items` : `${count} items in ${sets} sets`;
}

function shortLabel({ model, kind, step }: ResultRow): string {
  if (kind === 'base') return modelLabels.base;
  return `${modelLabels[model]}${kind === 'best' ? ' best' : ''} @${step}`;
}

function accuracyText(accuracy: Accuracy | null, isWide: boolean): string {
  if (accuracy === null) return dash;
  const ends = isWide ? ` ${interval(accuracy.interval, value => fixed(value, 2))}` : '';
  return `${fixed(accuracy.mean)}${ends}`;
}

function changeText(change: Change | null, isWide: boolean): string {
  if (change === null) return dash;
  const { low, high } = change.interval;
  if (isWide) return `${signed(change.mean)} ${interval({ low, high }, signed)}`;
  return `${signed(change.mean)}±${fixed((high - low) / 2)}`;
}

const precisionSigns = { measured: '', share: '≈', partial: '≥' } as const;

function costText({ cost }: ResultRow, text: (cost: NonNullable<ResultRow['cost']>) => string): string {
  return cost === null ? dash : `${precisionSigns[cost.precision]}${text(cost)}`;
}
