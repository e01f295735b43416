import { createHash } from 'node:crypto';

export function sha256OfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The same for every order of keys: a digest of what a plain record says. */
export function sha256OfRecord(record: unknown): string {
  return sha256OfText(
    JSON.stringify(record, (_, value: unknown) => (isPlain(value) ? sorted(value) : value)),
  );
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sorted(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
