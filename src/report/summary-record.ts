/** report.json: the numbers of the report for programs. Pure. */
import type { Analysis, ResultRow } from './rows.ts';

/** Values that were not measured are null; shares, not points; intervals are of 95 %. */
export type SummaryRecord = {
  readonly format: 1;
  readonly id: string;
  readonly name: string;
  readonly method: string;
  readonly status: string;
  /** Those of the final table, with the verdict on retention over all and of each set. */
  readonly rows: readonly ResultRow[];
};

/** The record of one run. */
export function summaryRecord({ results: { name, run }, rows }: Analysis): SummaryRecord {
  return { format: 1, id: run.id, name, method: run.method, status: run.status, rows };
}
