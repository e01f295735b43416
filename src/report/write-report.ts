/** A run's report on disk. */
import { join } from 'node:path';
import { writeFileAtomic } from '../files/atomic.ts';
import { reportPage } from './html.ts';
import { reportMarkdown } from './markdown.ts';
import { readResults } from './results.ts';
import { analyse } from './rows.ts';

/** Paths of the files that were written. */
export type ReportFiles = { readonly html: string; readonly markdown: string };

/**
 * Write report.html and report.md into the directory of a run, finished or not; each appears whole or not at all.
 * Throws `TmsError` where there is no run or a file of it is corrupt.
 */
export async function writeReport(runDirectory: string): Promise<ReportFiles> {
  const analysis = analyse(await readResults(runDirectory));
  const files = { html: join(runDirectory, 'report.html'), markdown: join(runDirectory, 'report.md') };
  writeFileAtomic(files.html, reportPage(analysis));
  writeFileAtomic(files.markdown, reportMarkdown(analysis));
  return files;
}
