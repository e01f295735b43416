/** Verdicts on retention as text. Pure. */
import { isSmallLoss, verdicts } from '../metrics/retention.ts';
import { exclusionOf } from './changes.ts';
import { counted, dash } from './format.ts';
import type { ResultRow } from './rows.ts';

type Judged = Pick<ResultRow, 'change' | 'verdict' | 'margin'>;

/** `kept`, `lost`, `inconclusive`, `not measured`; a dash for what has none. */
export function verdictText({ verdict, change, margin }: Judged): string {
  if (verdict === null) return dash;
  return verdict === 'kept' && isSmallLoss(change, margin) ? `${verdict}, small loss` : verdict;
}

/** What became of retention in one row: over all, in each set, and what few or unanimous items exclude. Null for the base. */
export function verdictSentence(row: ResultRow, label: string): string | null {
  const { verdict, change, sets } = row;
  if (verdict === null) return null;
  if (row.isDoubtful) return `Retention of ${label}: not measured, because too many answers have no end.`;
  const overall = verdictText(row);
  const bySet = sets.length < 2 ? overall : `${overall} over all; ${setTexts(sets)}`;
  const excluded = change === null ? null : exclusionOf(change);
  return `Retention of ${label}: ${bySet}${excluded === null ? '' : `; ${excluded}`}.`;
}

/** What the verdicts mean. */
export function verdictNote(margin: number): string {
  return `Verdicts: kept, where the interval lies above −${margin} (retention.margin), with a small loss where it lies below 0 too; lost, where it lies below 0 and reaches the margin; else inconclusive. Each set by itself: of forty that lose nothing, one may be called lost by chance.`;
}

function setTexts(sets: ResultRow['sets']): string {
  const [first] = sets;
  if (sets.every(({ verdict }) => verdict === first?.verdict))
    return `each of ${counted(sets.length, 'set')} ${first?.verdict}`;
  return verdicts
    .map(verdict => ({ verdict, names: sets.filter(set => set.verdict === verdict).map(({ name }) => name) }))
    .filter(({ names }) => names.length > 0)
    .map(({ verdict, names }) => `${verdict}: ${names.join(', ')}`)
    .join('; ');
}
