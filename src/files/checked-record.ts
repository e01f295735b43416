/** JSON files of our own that are read again: with a digest inside, so that a flipped bit is damage and not another value. */
import { z } from 'zod';
import { writeFileAtomic } from './atomic.ts';
import { sha256OfRecord } from './digest.ts';
import { type ReadRecord, readRecord } from './read-record.ts';

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
