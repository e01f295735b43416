/** Change of the cross-entropy of documents, each compared with itself. Pure. */
import type { TextLoss } from '../run/records.ts';
import { bootstrapInterval, type Interval, mean } from './statistics.ts';

/** Bits a byte, a mean over documents; above 0: more surprised than before. */
export type TextLossChange = {
  readonly mean: number;
  readonly interval: Interval;
  readonly documents: number;
};

/** Documents that both measured count, each the same; null where there are none. */
export function textLossChange(before: TextLoss, after: TextLoss, seed: number): TextLossChange | null {
  const known = new Map(before.documents.map(document => [document.id, document]));
  const changes = after.documents.flatMap(({ id, nll, bytes }) => {
    const earlier = known.get(id);
    return earlier === undefined || bytes === 0 ? [] : [(nll - earlier.nll) / bytes / Math.LN2];
  });
  if (changes.length === 0) return null;
  return { mean: mean(changes), interval: bootstrapInterval([changes], seed), documents: changes.length };
}
