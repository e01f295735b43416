/** Verdicts on answers by libraries of Python, in a side process that is started when they are needed. */
import { z } from 'zod';
import { EnvironmentError } from '../errors.ts';
import { lazySide } from '../python/lazy-side.ts';
import { PythonError } from '../python/side.ts';

/** What is asked about one answer, as py_worker/grading knows it. */
export type VerdictItem = { readonly kind: 'math' | 'ifeval' } & Readonly<Record<string, unknown>>;

/** Longest time for one verdict: an expression may be one that no computer gets to the end of. */
const itemSeconds = 10;

/** Items of one call, so that a signal is heard and no message is too large. */
const itemsAtOnce = 500;

/** No verdict: the time was up, or a library failed. It counts as wrong. */
const failed = z.strictObject({ failed: z.string() });
export type Failed = z.infer<typeof failed>;

export type VerdictOptions = {
  /** As for `tms run --python`. */
  readonly python?: string | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** pythonia knows one process at a time: calls wait for one another. */
let last: Promise<unknown> = Promise.resolve();

/** A verdict on each item, in order. Throws `EnvironmentError` where a library is missing, else the signal's reason. */
export function pythonVerdicts<T>(
  items: readonly VerdictItem[],
  verdict: z.ZodType<T>,
  options: VerdictOptions = {},
): Promise<(T | Failed)[]> {
  if (items.length === 0) return Promise.resolve([]);
  const asked = last.then(() => ask(items, z.array(z.union([failed, verdict])), options));
  last = asked.catch(() => undefined);
  return asked;
}

async function ask<T>(
  items: readonly VerdictItem[],
  verdicts: z.ZodType<T[]>,
  { python, signal }: VerdictOptions,
): Promise<T[]> {
  const side = lazySide('grade.py', { python, signal });
  try {
    const found: T[] = [];
    for (let start = 0; start < items.length; start += itemsAtOnce) {
      const part = items.slice(start, start + itemsAtOnce);
      found.push(...(await side.call('grade', { items: part, seconds: itemSeconds }, verdicts)));
    }
    return found;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof PythonError && error.fix !== undefined)
      throw new EnvironmentError(error.message, { fix: error.fix, cause: error });
    throw error;
  } finally {
    await side.close();
  }
}
