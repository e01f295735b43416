/** A run's report on disk. */
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.ts';
import { reportPage } from './html.ts';
import { reportMarkdown } from './markdown.ts';
import { readResults } from './results.ts';
import { analyse } from './rows.ts';
import { summaryRecord } from './summary.ts';

/** Paths of the files that were written. */
export type ReportFiles = { readonly html: string; readonly markdown: string; readonly json: string };

/**
 * Write report.html, report.md and report.json into the directory of a run, finished or not; each appears whole or not at all.
 * Throws `TmsError` where there is no run or a file of it is corrupt.
 */
export async function writeReport(runDirectory: string): Promise<ReportFiles> {
  const analysis = analyse(await readResults(runDirectory));
  const at = (ending: string) => join(runDirectory, `report.${ending}`);
  const files = { html: at('html'), markdown: at('md'), json: at('json') };
  writeFileAtomic(files.html, reportPage(analysis));
  writeFileAtomic(files.markdown, reportMarkdown(analysis));
  writeFileAtomic(files.json, `${JSON.stringify(summaryRecord(analysis), null, 2)}\n`);
  return files;
}
