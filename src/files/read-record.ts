import { existsSync, readFileSync } from 'node:fs';
import type { z } from 'zod';

/** A record as it was read; where there is none, `damage` says what is wrong with the file, null when there is no file. */
export type ReadRecord<T> =
  | { readonly value: T; readonly damage: null }
  | { readonly value: null; readonly damage: string | null };

/** The one reader of our own JSON files: whoever calls decides what an absent or damaged one means, and none of them is a surprise. */
export function readRecord<S extends z.ZodType>(path: string, schema: S): ReadRecord<z.output<S>> {
  if (!existsSync(path)) return { value: null, damage: null };
  const text = readFileSync(path, 'utf8');
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    return { value: null, damage: text === '' ? 'it is empty' : `not JSON (${(error as Error).message})` };
  }
  const parsed = schema.safeParse(content);
  if (parsed.success) return { value: parsed.data, damage: null };
  const [issue] = parsed.error.issues;
  return { value: null, damage: `${issue?.path.join('.') || 'value'}: ${issue?.message}` };
}
