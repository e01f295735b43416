/** Answers scored from a program: what `tms grade` does. */
import { type LineProblem, lineErrors } from '../data/data-error.ts';
import { ColumnError, type DataRecord } from '../data/template.ts';
import { UsageError } from '../errors.ts';
import {
  answeredOf,
  type GradedColumns,
  type GradedRow,
  gradeAnswers,
  meansOf,
  taskScorer,
} from '../evaluation/grade-answers.ts';
import type { AnsweredQuestion } from '../evaluation/scorer.ts';
import { type TaskName, taskNamed, taskNames } from '../tasks/index.ts';

/** How rows are read and scored. */
export type GradeSettings = {
  /** Columns that hold answer and gold answer; by default the usual names are looked for. */
  readonly columns?: Partial<GradedColumns>;
  /** As for `tms run --python`; only math and ifeval ask one. */
  readonly python?: string;
  /** How the rows are called in errors. */
  readonly source?: string;
  /** The number of each row in its file, where they do not count from 1. */
  readonly lines?: readonly number[];
  readonly signal?: AbortSignal;
};

/** Grades in the order of the rows; null for a row that the task leaves out. `means` has accuracy and the scorer's other measures. */
export type Graded = {
  readonly task: string;
  readonly taskVersion: number;
  readonly scorer: string;
  readonly scorerVersion: number;
  readonly rows: readonly (GradedRow | null)[];
  readonly means: Readonly<Record<string, number>>;
};

/** Score answers as a task scores them. Throws `UsageError` for an unknown task, `DataError` with every row that cannot be scored. */
export async function grade(
  task: string,
  rows: readonly Readonly<Record<string, unknown>>[],
  { columns, python, source = 'rows', lines, signal }: GradeSettings = {},
): Promise<Graded> {
  const known = taskNamed(task);
  if (known === undefined)
    throw new UsageError(`there is no task ${task}`, { fix: `take one of ${taskNames.join(', ')}` });
  const scorer = await taskScorer(task as TaskName, python);
  const named = { answer: columns?.answer ?? null, gold: columns?.gold ?? null };
  const problems: LineProblem[] = [];
  const answered = rows.map((row: DataRecord, i) => {
    const line = lines?.[i] ?? i + 1;
    const found = tryRead(() => answeredOf(row, task as TaskName, { line, columns: named, scorer }));
    if (typeof found === 'string') problems.push({ line, message: found });
    return typeof found === 'string' ? null : found;
  });
  if (problems.length > 0)
    throw lineErrors(
      source,
      problems,
      'name the columns: --columns answer=NAME,gold=NAME, or give rows that have those of the task',
    );
  const present = answered.filter((one): one is AnsweredQuestion => one !== null);
  const grades = await gradeAnswers(scorer, present, signal);
  let place = 0;
  return {
    task,
    taskVersion: known.version,
    scorer: scorer.name,
    scorerVersion: scorer.version,
    rows: answered.map(one => (one === null ? null : (grades[place++] as GradedRow))),
    means: meansOf(grades),
  };
}

function tryRead<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof ColumnError) return error.message;
    throw error;
  }
}
