/** What the last bits of results depend on besides weights and inputs: a run notes it when it begins, and whenever it goes on with something else. */
import { join } from 'node:path';
import { readRecord } from '../files/read-record.ts';
import { type NumericsRecord, type RunRecord, runRecord } from './records.ts';

/** By the key of the configuration that decides it, else by a name for people. */
export type Numerics = NumericsRecord['values'];

/** What is no longer as it was last, each as `worker.token_budget: 2048 → 512`. */
export function changedNumerics({ numerics }: Pick<RunRecord, 'numerics'>, now: Numerics): string[] {
  const before = numerics.at(-1)?.values ?? {};
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  return keys
    .filter(key => (before[key] ?? null) !== (now[key] ?? null)) // a key that an earlier version did not have is null
    .map(key => `${key}: ${JSON.stringify(before[key])} → ${JSON.stringify(now[key])}`);
}

/**
 * For the names of what a run shares: nothing, or, where a run has changed how it computes or is about to, a mark of its own. What follows
 * is then nobody else's: other runs take numbers of an undisturbed run only.
 */
export function disturbance(outputDir: string, now: Numerics): { readonly disturbed?: string } {
  const record = readRecord(join(outputDir, 'run.json'), runRecord).value;
  if (record === null) return {};
  const times = record.numerics.length + (changedNumerics(record, now).length > 0 ? 1 : 0);
  return times > 1 ? { disturbed: `${record.id} ${times}` } : {};
}
