/** Which items of the store go. */
import type { StoreItem } from './store.ts';

export type PruneRules = {
  /** Everything. */
  readonly all: boolean;
  /** What was last used before. */
  readonly unusedSince: Date | null;
  /** The longest unused, until no more bytes than these are left. */
  readonly keepBytes: number | null;
};

/** Items that some rule removes, the longest unused first, as `items` must be. */
export function itemsToPrune(
  items: readonly StoreItem[],
  { all, unusedSince, keepBytes }: PruneRules,
): StoreItem[] {
  if (all) return [...items];
  let left = items.reduce((sum, { bytes }) => sum + bytes, 0);
  return items.filter(({ bytes, usedAt }) => {
    const isOld = unusedSince !== null && usedAt < unusedSince;
    const isTooMuch = keepBytes !== null && left > keepBytes;
    if (isOld || isTooMuch) left -= bytes;
    return isOld || isTooMuch;
  });
}
