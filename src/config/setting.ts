/** One setting: its zod schema, its one explanation, and where its default comes from. Readable by people and by programs. */
import { z } from 'zod';
import type { ReadRules } from './condition.ts';

/** `trl`: the key, meaning and default of TRL 1.16 or transformers 5; `ours`: this project's choice; `paper`: arXiv 2602.03073. */
export type SettingSource = 'trl' | 'ours' | 'paper';

/**
 * What a setting can change. `nothing`: where a run writes, what it prints or what it refuses, never a number of it; `numerics`: how the
 * same numbers are computed, so the last bits of results; `result`: what they are. Digests and what a resume allows follow from it.
 */
export type Affects = 'nothing' | 'numerics' | 'result';

/** What a schema says beside its type. `x-guessed`: why, where the paper does not state the setting; `x-read-when`: see `readWhen`; without `x-affects` a setting affects results. */
export type SettingMeta = {
  readonly description: string;
  readonly 'x-source': SettingSource;
  readonly 'x-guessed'?: string;
  readonly 'x-read-when'?: ReadRules;
  readonly 'x-affects'?: Affects;
};

/** A setting of our own. */
export function ours<S extends z.ZodType>(schema: S, description: string): S {
  return withMeta(schema, { description, 'x-source': 'ours' });
}

/** A setting with TRL's name and meaning; the default is TRL's unless the description says otherwise. */
export function trl<S extends z.ZodType>(schema: S, description: string): S {
  return withMeta(schema, { description, 'x-source': 'trl' });
}

/** A setting of the method whose value the paper states. */
export function paper<S extends z.ZodType>(schema: S, description: string): S {
  return withMeta(schema, { description, 'x-source': 'paper' });
}

/** Mark a setting that influences the method and that the paper does not state. `basis`: where the value comes from instead. */
export function guessed<S extends z.ZodType>(schema: S, basis: string): S {
  return withMeta(schema, { ...(schema.meta() as SettingMeta), 'x-guessed': basis });
}

/** Say that a setting changes less than the result. */
export function affects<S extends z.ZodType>(level: Exclude<Affects, 'result'>, schema: S): S {
  return withMeta(schema, { ...(schema.meta() as SettingMeta), 'x-affects': level });
}

function withMeta<S extends z.ZodType>(schema: S, meta: SettingMeta): S {
  return schema.meta(meta as Record<string, unknown>) as S;
}

/** Short forms for the commonest types. Their bounds lie far beyond any run: a slip of the hand fills no memory and is not planned for days. */
export const count = z.int().min(0).max(1e9);
export const positive = z.int().min(1).max(1e9);
/** What a run does, or has, one by one. */
export const few = z.int().min(1).max(10_000);
export const seed = z
  .int()
  .min(0)
  .max(2 ** 32 - 1);
export const epochs = z.number().positive().max(1e6);
export const fraction = z.number().min(0).max(1);
export const text = z.string().min(1);
