/** JSON files of our own that are read again: with a digest inside, so that a flipped bit is damage and not another value. */
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeFileAtomic } from './atomic.ts';
import { sha256OfRecord } from './digest.ts';

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

const anyRecord = z.record(z.string(), z.unknown());

/** Write a record with its digest. */
export function writeChecked(path: string, record: object): void {
  const plain = JSON.parse(JSON.stringify(record)) as object; // what reading gives back
  writeFileAtomic(path, `${JSON.stringify({ sha256: sha256OfRecord(plain), ...plain })}\n`);
}

/** Read it again; `damage` where it is no longer what was written. */
export function readChecked<S extends z.ZodObject>(path: string, schema: S): ReadRecord<z.output<S>> {
  const { value, damage } = readRecord(path, anyRecord);
  if (value === null) return { value, damage };
  const { sha256, ...record } = value;
  if (sha256 !== sha256OfRecord(record))
    return { value: null, damage: 'its content does not match its digest' };
  const parsed = schema.safeParse(record);
  return parsed.success
    ? { value: parsed.data, damage: null }
    : { value: null, damage: parsed.error.issues[0]?.message ?? 'not of this version' };
}
