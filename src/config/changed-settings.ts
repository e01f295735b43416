/** What keys can change: which part of a configuration results depend on, and what became of it since. */
import type { RunConfig } from './schema.ts';
import type { Affects } from './setting.ts';
import { listSettings } from './settings-list.ts';

/** A key, as `tms.alpha`, with its value in two configurations. */
export type ChangedSetting = {
  readonly key: string;
  readonly from: unknown;
  readonly to: unknown;
  readonly affects: Affects;
};

/** Every key at which two configurations differ; a list counts as one value. */
export function changedSettings(before: RunConfig, after: RunConfig): ChangedSetting[] {
  const levels = levelsOfKeys();
  return leaves(before, after).map(changed => ({ ...changed, affects: levels(changed.key) }));
}

/** What results depend on: configurations that are equal in it give the same numbers, but for the last bits. */
export function resultSettings(config: RunConfig): unknown {
  const levels = levelsOfKeys();
  const kept = (block: object, prefix: string): unknown =>
    Object.fromEntries(
      Object.entries(block)
        .filter(([key]) => levels(prefix + key) === 'result')
        .map(([key, value]) => [key, isBlock(value) ? kept(value, `${prefix}${key}.`) : value]),
    );
  return kept(config, '');
}

/** As a message shows it: `learning_rate: 0.1 → 0.5`. */
export function describeChange({ key, from, to }: Omit<ChangedSetting, 'affects'>): string {
  return `${key}: ${JSON.stringify(from)} → ${JSON.stringify(to)}`;
}

/** A key that no schema knows may change anything. */
function levelsOfKeys(): (key: string) => Affects {
  const levels = new Map(listSettings().map(({ path, 'x-affects': level = 'result' }) => [path, level]));
  return key => levels.get(key) ?? 'result';
}

function leaves(
  before: unknown,
  after: unknown,
  path: readonly string[] = [],
): Omit<ChangedSetting, 'affects'>[] {
  if (!isBlock(before) || !isBlock(after)) {
    const isSame = JSON.stringify(before) === JSON.stringify(after);
    return isSame ? [] : [{ key: path.join('.'), from: before, to: after }];
  }
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap(key => leaves(before[key], after[key], [...path, key]));
}

function isBlock(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
