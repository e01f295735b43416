/** What the retention sets of a run can show, as a record and as lines for a person. Pure. */
import { itemsToKeep, itemsToShow, smallestLoss } from '../metrics/resolution.ts';
import { points } from './changes.ts';
import { counted } from './format.ts';

/** Losses are shares; null where even the loss of everything would not show. */
export type Resolution = {
  /** `retention.margin`: the largest loss that still counts as kept. */
  readonly margin: number;
  readonly sets: readonly {
    readonly name: string;
    readonly items: number;
    readonly smallestLoss: number | null;
  }[];
  /** Over all sets, each counting the same; null without sets. */
  readonly overall: { readonly items: number; readonly smallestLoss: number | null } | null;
  /** Items of one set that could show a loss as small as the margin, and items that, none changed, exclude one; null for a margin of 0. */
  readonly itemsForMargin: { readonly toShow: number; readonly toKeep: number } | null;
};

/** The smallest losses that sets of these sizes can show, see `smallestLoss`. */
export function resolutionOf(
  sets: readonly { readonly name: string; readonly items: number }[],
  margin: number,
): Resolution {
  const sizes = sets.map(({ items }) => items);
  return {
    margin,
    sets: sets.map(({ name, items }) => ({ name, items, smallestLoss: smallestLoss([items]) })),
    overall:
      sizes.length === 0
        ? null
        : { items: sizes.reduce((sum, size) => sum + size, 0), smallestLoss: smallestLoss(sizes) },
    itemsForMargin: margin === 0 ? null : { toShow: itemsToShow(margin), toKeep: itemsToKeep(margin) },
  };
}

/** Lines of `tms plan`. */
export function describeResolution(resolution: Resolution): string[] {
  const { sets, overall } = resolution;
  if (overall === null) return ['retention not measured: there are no retention.sets'];
  const lines = [
    ...sets.map(set => `${set.name}: ${sizeText(set)}`),
    ...(sets.length === 1 ? [] : [`over all ${sets.length} sets: ${sizeText(overall)}`]),
    ...marginLines(resolution),
    '(95 % interval below 0 in 8 of 10 evaluations, if every set loses the same share and no item is gained; else more)',
  ];
  return lines.map((line, i) => `${i === 0 ? 'retention ' : '          '}${line}`);
}

function sizeText({ items, smallestLoss: loss }: { items: number; smallestLoss: number | null }): string {
  const some = counted(items, 'item');
  return loss === null
    ? `${some} can show no loss`
    : `${some} can show a loss of ${points(loss)} points or more`;
}

/** A note where the margin is smaller than what the sets can show. */
function marginLines({ margin, overall, itemsForMargin }: Resolution): string[] {
  const loss = overall?.smallestLoss ?? null;
  if (itemsForMargin === null || (loss !== null && loss <= margin)) return [];
  const { toShow, toKeep } = itemsForMargin;
  return [
    `note: a margin of ${points(margin)} points (retention.margin) needs about ${counted(toShow, 'item')}; fewer than ${toKeep.toLocaleString('en')} cannot be called kept even if none changes`,
  ];
}
