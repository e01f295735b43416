/** Answers that somebody has, scored as a task scores them: rows with an answer and the task's own columns, or a gold answer. */
import { isNumber, withDoubles, writtenText } from '../data/json.ts';
import { ColumnError, type DataRecord, readColumn } from '../data/template.ts';
import { UsageError } from '../errors.ts';
import { type TaskName, taskNames, tasks } from '../tasks/index.ts';
import { type AnsweredQuestion, type Grade, isRight, type Question, type Scorer } from './scorer.ts';
import { makeScorer } from './scorers.ts';

/** Columns by what they hold; null: the usual names are looked for. */
export type GradedColumns = { readonly answer: string | null; readonly gold: string | null };

/** How columns are called, the first that a row has. */
export const usualColumns = {
  answer: [
    'response',
    'output',
    'generation',
    'generated_text',
    'model_output',
    'completion',
    'prediction',
    'pred',
  ],
  gold: ['gold', 'target', 'expected', 'reference', 'ground_truth', 'gold_answer'],
} as const;

/** A graded row: its verdict, what was taken for the answer, and what the scorer measures besides. */
export type GradedRow = Grade & { readonly isRight: boolean };

/** The scorer of a task whose answers are words. Throws `UsageError`. */
export async function taskScorer(name: TaskName, python?: string): Promise<Scorer> {
  const { scorer } = tasks[name].settings;
  if (scorer !== 'multiple_choice')
    return makeScorer({ scorer, command: null, module: null, scorer_inputs: [] }, { python });
  const generative = `${name}_generative`;
  throw new UsageError(`the options of ${name} are compared by log-likelihood: it has no answers in words`, {
    fix: (taskNames as readonly string[]).includes(generative)
      ? `grade with ${generative}, where the answer names an option`
      : `measure it with tms eval, or as a set of a run`,
  });
}

/** An answered question of a row; null where the task leaves the row out. Throws `ColumnError`. */
export function answeredOf(
  given: DataRecord,
  name: TaskName,
  {
    line,
    columns,
    scorer,
  }: { readonly line: number; readonly columns: GradedColumns; readonly scorer: Scorer },
): AnsweredQuestion | null {
  const record = flat(withDoubles(given) as DataRecord);
  const gold = goldOf(record, columns);
  const text = answerOf(record, columns, gold !== null);
  const rows = taskRows(record, name, gold !== null);
  if (rows?.length === 0) return null;
  const row = { ...record, ...rows?.[0] };
  const asked: Question = {
    id: String(line),
    line,
    prompt: typeof row.prompt === 'string' ? row.prompt : '',
    gold: gold ?? (row.answer === undefined ? null : writtenText(row.answer)),
    record: row,
  };
  const problem = scorer.problemOf(asked);
  if (problem !== null) throw new ColumnError(problem);
  return { question: asked, answer: { text, isFinished: true } };
}

/** Verdicts on answers, in order. */
export async function gradeAnswers(
  scorer: Scorer,
  answered: readonly AnsweredQuestion[],
  signal?: AbortSignal,
): Promise<GradedRow[]> {
  const grades = await scorer.grade(answered, signal);
  return grades.map(grade => ({ ...grade, isRight: isRight(grade.score) }));
}

/** The means of scores and measures by name; lists count each of their entries. */
export function meansOf(rows: readonly GradedRow[]): Record<string, number> {
  const values = new Map<string, number[]>([['accuracy', rows.map(({ isRight }) => Number(isRight))]]);
  for (const { measures = {} } of rows)
    for (const [name, value] of Object.entries(measures)) {
      const entries = typeof value === 'object' ? value.map(Number) : [Number(value)];
      values.set(name, [...(values.get(name) ?? []), ...entries]);
    }
  return Object.fromEntries(
    [...values].map(([name, all]) => [name, all.reduce((sum, value) => sum + value, 0) / all.length]),
  );
}

/** lm-eval's samples keep the row of the data set in `doc`, and answers in lists. */
function flat(record: DataRecord): DataRecord {
  const { doc, resps, filtered_resps: filtered, ...rest } = record;
  if (typeof doc !== 'object' || doc === null || Array.isArray(doc)) return record;
  const first = [resps, filtered].flat(3).find(value => typeof value === 'string');
  return { ...(doc as DataRecord), ...rest, ...(first !== undefined && { response: first }) };
}

function answerOf(record: DataRecord, { answer }: GradedColumns, hasGold: boolean): string {
  const usual: readonly string[] = [...usualColumns.answer, ...(hasGold ? ['answer'] : [])];
  const column = answer ?? usual.find(name => Object.hasOwn(record, name));
  if (column === undefined)
    throw new ColumnError(
      `no column with an answer (${usual.join(', ')}); there are: ${Object.keys(record).join(', ')}`,
    );
  if (answer === null && column === 'completion' && Object.hasOwn(record, 'prediction'))
    throw new ColumnError('completion and prediction could both be the answer: --columns answer=NAME');
  const value = readColumn(record, column);
  const single = Array.isArray(value) && value.length === 1 ? value[0] : value;
  if (typeof single === 'string' || isNumber(single)) return String(single);
  if (single === null) return '';
  throw new ColumnError(`${column} is ${JSON.stringify(value).slice(0, 60)}, not a text`);
}

function goldOf(record: DataRecord, { gold }: GradedColumns): string | null {
  const column = gold ?? usualColumns.gold.find(name => Object.hasOwn(record, name));
  if (column === undefined) return null;
  const value = readColumn(record, column);
  const written = typeof value === 'object' && value !== null && !isNumber(value) ? null : writtenText(value);
  if (written === null)
    throw new ColumnError(`${column} is ${JSON.stringify(value)?.slice(0, 60)}, not a text or a number`);
  return written;
}

/** What the task makes of the row; undefined where a gold answer stands beside columns of another shape. */
function taskRows(record: DataRecord, name: TaskName, hasGold: boolean): readonly DataRecord[] | undefined {
  try {
    return tasks[name].rows(record);
  } catch (error) {
    if (error instanceof ColumnError && hasGold) return undefined;
    throw error;
  }
}
