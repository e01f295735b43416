import { UsageError } from '../errors.ts';

/** A data file is missing, broken or of the wrong form; the message names file, line and what to do. */
export class DataError extends UsageError {}

/** Lines that an error lists before it only counts. */
export const listedLines = 10;

/** What is wrong with single lines of a file, gathered so that a person sees it all at once. */
export type LineProblem = { readonly line: number; readonly message: string };

/** One error for many lines. */
export function lineErrors(
  file: string,
  problems: readonly LineProblem[],
  fix: string | null = null,
): DataError {
  const shown = problems.slice(0, listedLines).map(({ line, message }) => `  line ${line}: ${message}`);
  const rest = problems.length - shown.length;
  const heading = `${file}: ${problems.length} ${problems.length === 1 ? 'line is' : 'lines are'} wrong`;
  return new DataError([heading, ...shown, ...(rest > 0 ? [`  and ${rest} more`] : [])].join('\n'), { fix });
}
