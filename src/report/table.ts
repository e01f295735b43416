/** The final table as plain text for a terminal, and tables as Markdown. Pure. */
import { columnsFor, shortLabel, tableNotes } from './columns.ts';
import { gateOf, gateSentence } from './gate.ts';
import type { Results } from './results.ts';
import { type Analysis, analyse } from './rows.ts';
import { statusSentence } from './summary.ts';
import { verdictSentence } from './verdicts.ts';

/** Fits a terminal of usual width and an e-mail. */
const widest = 100;
/** Of a table with groups. */
const leastLabel = 12;

/** Lines of the final table with the notes one needs to read it; at most 100 columns. */
export function finalTable(results: Results): string[] {
  const analysis = analyse(results);
  const { rows } = analysis;
  const status = statusSentence(results);
  const first = status === null ? [] : [...wrap(status, widest), ''];
  if (rows.length === 0) return [...first, 'Nothing has been evaluated yet.'];
  const columns = columnsFor(rows, 'narrow');
  const head = columns.map(({ title }) => title);
  const cells = rows.map(row => columns.map(({ textOf }) => textOf(row)));
  const groups = columns.map(({ group }) => group);
  const verdicts = rows.map(row => verdictSentence(row, shortLabel(row))).filter(text => text !== null);
  const gate = gateOf(analysis);
  return [
    ...first,
    ...alignedTable([head, ...cells], groups),
    '',
    ...verdicts.flatMap(sentence => wrap(sentence, widest)),
    ...(gate === null ? [] : wrap(gateSentence(gate), widest)),
    '',
    ...tableNotes(analysis).flatMap(note => wrap(note, widest)),
  ];
}

/**
 * A table whose first column is text and whose others are numbers; columns two spaces apart, or one where that is too wide.
 * `groups` names each column's group: a line above the head shows it once over its neighbouring columns. There, a label that would make
 * the table too wide has a line of its own.
 */
export function alignedTable(
  cells: readonly (readonly string[])[],
  groups: readonly string[] = [],
): string[] {
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0)));
  makeRoom(groups, widths);
  const widthOf = (gap: number) => widths.reduce((sum, width) => sum + width + gap, -gap);
  const gap = widthOf(2) <= widest ? 2 : 1;
  const excess = Math.max(0, widthOf(gap) - widest);
  if (groups.length > 0 && excess > 0) widths[0] = Math.max(leastLabel, (widths[0] ?? 0) - excess);
  const line = ([label = '', ...numbers]: readonly string[]): string[] => {
    const fits = label.length <= (widths[0] ?? 0);
    const row = [fits ? label : '', ...numbers].map((cell, column) =>
      pad(cell, widths[column] ?? 0, column === 0),
    );
    return [...(fits ? [] : [label]), row.join(' '.repeat(gap)).trimEnd()];
  };
  const top = groups.some(group => group !== '') ? [groupLine(groups, widths, gap)] : [];
  return [...top, ...cells.flatMap(line)];
}

/** A Markdown table; the first row of `cells` is the head; columns after the first hold numbers or texts. */
export function markdownTable(
  [head = [], ...rows]: readonly (readonly string[])[],
  content: 'numbers' | 'texts' = 'numbers',
): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`;
  const rule = `|${head.map((_, column) => (column === 0 || content === 'texts' ? ':--' : '--:')).join('|')}|`;
  return [line(head), rule, ...rows.map(line)];
}

/** Head and rows of the final table for a page. */
export function wideCells({ rows }: Analysis): string[][] {
  const columns = columnsFor(rows, 'wide');
  const head = columns.map(({ group, title }) => (group === '' ? title : `${group}: ${title}`));
  return [head, ...rows.map(row => columns.map(({ textOf }) => textOf(row)))];
}

/** Break at spaces so that no line is longer than `width`; what follows the first line is indented. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(last === undefined ? word : `  ${word}`);
  }
  return lines;
}

/** Widen the first column of a group whose name is longer than its columns, one space apart, are together. */
function makeRoom(groups: readonly string[], widths: number[]): void {
  groups.forEach((group, column) => {
    if (group === '' || groups[column - 1] === group) return;
    const own = widths.filter((_, i) => groups[i] === group);
    const room = own.reduce((sum, width) => sum + width + 1, -1);
    widths[column] = (widths[column] ?? 0) + Math.max(0, group.length - room);
  });
}

/** Each group ends where its last column ends. */
function groupLine(groups: readonly string[], widths: readonly number[], gap: number): string {
  let [line, end] = ['', 0];
  groups.forEach((group, column) => {
    end += (widths[column] ?? 0) + (column === 0 ? 0 : gap);
    if (group !== '' && groups[column + 1] !== group) line = `${line}${group.padStart(end - line.length)}`;
  });
  return line;
}

function pad(cell: string, width: number, isText: boolean): string {
  return isText ? cell.padEnd(width) : cell.padStart(width);
}

function escapeCell(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
