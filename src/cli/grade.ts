import { basename, dirname, join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { type Graded, grade } from '../api/grade.ts';
import { nearest } from '../config/suggest.ts';
import { DataError, type LineProblem, lineErrors } from '../data/data-error.ts';
import { readRecords } from '../data/json-lines.ts';
import { seekableFile } from '../data/open-file.ts';
import type { DataRecord } from '../data/template.ts';
import { UsageError } from '../errors.ts';
import { usualColumns } from '../evaluation/grade-answers.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { tmsHome } from '../python/paths.ts';
import { openStore } from '../store/store.ts';
import { taskNamed, taskNames, tasks } from '../tasks/index.ts';
import type { CliContext, Terminal } from './terminal.ts';

interface GradeFlags {
  task: string;
  columns?: Columns;
  out?: string;
  python?: string;
  json?: boolean;
}

type Columns = { answer?: string; gold?: string };

/** `tms grade`: score answers that are there already. */
export function addGradeCommand(program: Command, context: CliContext): void {
  program
    .command('grade')
    .summary('score answers in a file as a task does, without a model')
    .description(
      'Score the answers in a file as a task scores them. A row has an answer and either a gold answer or the columns of the ' +
        'task’s own data set; samples that lm-eval logs are read, too. Prints the accuracy, and writes what was taken for each ' +
        'answer, with its score, as JSON lines.',
    )
    .argument('<file>', 'rows: .jsonl, .json, .csv, .parquet, compressed or not')
    .requiredOption('--task <name>', `which: ${answeredTasks().join(', ')}`)
    .option(
      '--columns <names>',
      `columns of the rows: answer=NAME,gold=NAME (default: ${usualColumns.answer.join(', ')}; ${usualColumns.gold.join(', ')})`,
      columnsOf,
    )
    .option('--out <file>', 'where the scores go (default: FILE.graded.jsonl beside the file)')
    .option('--python <path>', 'the Python of math and ifeval (default: what tms setup made)')
    .option('--json', 'print accuracy and measures as JSON')
    .addHelpText('after', examples)
    .action((file: string, flags: GradeFlags) => gradeFile(file, flags, context));
}

const examples = `
Examples:
  $ npx tms grade --task gsm8k answers.jsonl            # {"response": "… #### 18", "gold": "18"} a line
  $ npx tms grade --task math answers.jsonl --columns answer=text,gold=solution
  $ npx tms grade --task ifeval answers.jsonl           # rows of IFEval with a column response
  $ npx tms grade --task mmlu_generative samples.jsonl --json`;

function answeredTasks(): string[] {
  return taskNames.filter(name => tasks[name].settings.scorer !== 'multiple_choice');
}

function columnsOf(text: string): Columns {
  const pairs = text.split(',').map(part => part.split('='));
  const isPair = ([key = '', name = '']: string[]) =>
    ['answer', 'gold'].includes(key.trim()) && name.trim() !== '';
  if (!pairs.every(isPair))
    throw new InvalidArgumentError('It must be answer=NAME, gold=NAME, or both with a comma.');
  return Object.fromEntries(pairs.map(([key = '', name = '']) => [key.trim(), name.trim()]));
}

async function gradeFile(file: string, flags: GradeFlags, { terminal, env }: CliContext): Promise<void> {
  if (taskNamed(flags.task) === undefined) throw unknownTask(flags.task);
  const { records, lines } = await readAll(file, openStore(tmsHome(env)).cache);
  const graded = await grade(flags.task, records, {
    ...(flags.columns && { columns: flags.columns }),
    ...(flags.python !== undefined && { python: flags.python }),
    source: file,
    lines,
  });
  const out =
    flags.out ??
    join(
      dirname(file),
      `${basename(file).replace(/\.(?:jsonl|json|csv|parquet)(?:\.\w+)?$/i, '')}.graded.jsonl`,
    );
  writeFileAtomic(out, linesOf(graded, records, lines));
  if (flags.json) terminal.print(JSON.stringify(summaryOf(graded, out), null, 2));
  else printMeans(graded, out, terminal);
}

function unknownTask(name: string): UsageError {
  const near = nearest(name, taskNames);
  const fix = near === null ? `take one of ${answeredTasks().join(', ')}` : `did you mean ${near}?`;
  return new UsageError(`there is no task ${name}`, { fix });
}

async function readAll(file: string, cache: string): Promise<{ records: DataRecord[]; lines: number[] }> {
  const records: DataRecord[] = [];
  const lines: number[] = [];
  const problems: LineProblem[] = [];
  for await (const placed of readRecords(await seekableFile(file, cache))) {
    if ('problem' in placed) problems.push(placed.problem);
    else {
      records.push(placed.record);
      lines.push(placed.line.number);
    }
  }
  if (problems.length > 0) throw lineErrors(file, problems);
  if (records.length === 0) throw new DataError(`${file} is empty: there is nothing to grade`);
  return { records, lines };
}

function linesOf({ rows }: Graded, records: readonly DataRecord[], lines: readonly number[]): string {
  return rows
    .map((row, i) => {
      const { id, key } = records[i] ?? {};
      const named = { line: lines[i], ...(id !== undefined && { id }), ...(key !== undefined && { key }) };
      const judged =
        row === null
          ? { score: null, note: 'left out: the task has no sound verdict on this row' }
          : {
              score: row.score,
              is_right: row.isRight,
              extracted: row.extracted,
              ...row.measures,
              ...(row.note && { note: row.note }),
            };
      return `${JSON.stringify({ ...named, ...judged })}\n`;
    })
    .join('');
}

function summaryOf({ rows, means, ...rest }: Graded, out: string): Record<string, unknown> {
  const scored = rows.filter(row => row !== null);
  return {
    ...rest,
    rows: rows.length,
    scored: scored.length,
    right: scored.filter(row => row.isRight).length,
    nothingExtracted: scored.filter(row => row.extracted === null && row.measures === undefined).length,
    withoutVerdict: scored.filter(row => row.note !== undefined).length,
    means,
    out,
  };
}

function printMeans(graded: Graded, out: string, terminal: Terminal): void {
  const { right, scored, rows, nothingExtracted, withoutVerdict } = summaryOf(graded, out) as Record<
    string,
    number
  >;
  const { accuracy, ...others } = graded.means;
  terminal.print(
    `${graded.task}: accuracy ${percent(accuracy ?? 0)} (${right} of ${scored}), scorer ${graded.scorer} ${graded.scorerVersion}`,
  );
  for (const [name, value] of Object.entries(others)) terminal.print(`  ${name}: ${percent(value)}`);
  const notes: [number, string][] = [
    [nothingExtracted ?? 0, 'nothing was found that could be an answer'],
    [withoutVerdict ?? 0, 'no verdict within the time: counted as wrong'],
    [(rows ?? 0) - (scored ?? 0), 'left out: the task has no sound verdict on them'],
  ];
  for (const [count, what] of notes)
    if (count > 0) terminal.print(`  ${count} ${count === 1 ? 'row' : 'rows'}: ${what}`);
  terminal.print(`scores: ${out}`);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
