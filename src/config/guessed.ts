import { isRead } from './effects.ts';
import type { RunConfig } from './schema.ts';
import { listSettings } from './settings-list.ts';

/** A setting in effect that the paper does not state. */
export type GuessedSetting = {
  readonly path: string;
  readonly value: unknown;
  /** Where a value can come from instead. */
  readonly basis: string;
  readonly description: string;
};

/** Every setting that this run reads and that the paper leaves open, with its value. */
export function guessedSettings(config: RunConfig): GuessedSetting[] {
  return listSettings().flatMap(({ path, description, 'x-guessed': basis }) => {
    if (basis === undefined || !isRead(config, path)) return [];
    return [{ path, value: valueAt(config, path.split('.')), basis, description }];
  });
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], value);
}
