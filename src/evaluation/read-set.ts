/** The file of an evaluation set as questions: by its columns, with content hashes for ids, the broken lines all at once. */

import { existsSync } from 'node:fs';
import type { DeepReadonly } from '../config/schema.ts';
import type { EvaluationSet } from '../config/set-settings.ts';
import { DataError, type LineProblem, lineErrors } from '../data/data-error.ts';
import type { Content, Example } from '../data/example.ts';
import { isNumber, toJson, withDoubles, writtenText } from '../data/json.ts';
import { readRecords } from '../data/json-lines.ts';
import { seekableFile } from '../data/open-file.ts';
import { shapeExample } from '../data/shape.ts';
import { ColumnError, type DataRecord, readColumn } from '../data/template.ts';
import { UsageError } from '../errors.ts';
import { sha256OfText } from '../files/digest.ts';
import { fileOfTask, hubSourceOf, type TaskRow, taskNamed } from '../tasks/index.ts';
import { type PutBefore, readShots } from './fewshot.ts';
import { rightOption } from './right-option.ts';
import type { Question } from './scorer.ts';

export type SetSettings = DeepReadonly<EvaluationSet>;

/** A question with options, one of which is right. */
export type Choice = Question & {
  readonly options: readonly string[];
  readonly right: number;
  /** A prompt for each option, where they differ. */
  readonly contexts: readonly string[] | null;
};

/** Whether text prompts become chats, and their system message. */
export type AskedAs = { readonly isChat: boolean; readonly systemPrompt: string | null };
export type SetPlace = AskedAs & { readonly cacheDirectory: string };

/** Questions to be answered in words; `problemOf` refuses those that cannot be scored. Throws `DataError`. */
export function readQuestions(
  set: SetSettings,
  place: SetPlace,
  problemOf: (question: Question) => string | null,
): Promise<Question[]> {
  return readAll(set, place, ({ record, line, putBefore }) => {
    const question = { ...questionOf(record, set, { ...place, putBefore }), line };
    const problem = problemOf(question);
    if (problem !== null) throw new ColumnError(problem);
    return question;
  });
}

/** Questions with options. Throws `DataError`. */
export function readChoices(set: SetSettings, place: SetPlace): Promise<Choice[]> {
  return readAll(set, place, ({ record, line, putBefore }) => {
    const options = optionsOf(record, set);
    const labels = labelsOf(record, set, options.length);
    const answer = readColumn(record, set.columns.answer ?? 'answer');
    const right = rightOption({ answer, options, labels, reading: set.answer_is });
    const question = questionOf(record, set, { ...place, putBefore });
    const contexts = Array.isArray(record.contexts) && set.task !== null ? record.contexts.map(String) : null;
    return { ...question, line, gold: options[right] ?? null, options, right, contexts };
  });
}

/** `putBefore` puts examples before the question. */
type Row = {
  readonly record: DataRecord;
  readonly line: number;
  readonly putBefore: ReturnType<PutBefore> | null;
};

async function readAll<T extends Question>(
  set: SetSettings,
  { cacheDirectory }: SetPlace,
  read: (row: Row) => T,
): Promise<T[]> {
  const questions: T[] = [];
  const problems: LineProblem[] = [];
  const path = fileOf(set);
  const putBefore = await readShots(set, cacheDirectory);
  for await (const placed of readRecords(await seekableFile(path, cacheDirectory))) {
    const { number } = placed.line;
    const found =
      'record' in placed
        ? tryRead(() =>
            rowsOf(placed.record, set).map(row =>
              read({ record: row, line: number, putBefore: putBefore?.(placed.record) ?? null }),
            ),
          )
        : placed.problem.message;
    if (typeof found === 'string') problems.push({ line: number, message: found });
    else questions.push(...found);
  }
  const place = `evaluation set ${set.name}: ${path}`;
  if (problems.length > 0) throw lineErrors(place, problems, fixOf(set));
  if (questions.length === 0) throw new DataError(`${place} is empty: there is nothing to ask`);
  return chooseByHash(questions, set.limit);
}

function fixOf({ task }: SetSettings): string {
  return task === null
    ? 'say with columns where prompt, answer and choices are, and with answer_is how an answer is meant'
    : `give the data set of the task ${task} as its authors publish it, or say columns and scorer instead of task`;
}

/** The file of a set; that of a task may lie in a folder of data sets. Throws `UsageError` where it is not there, or only on the hub. */
export function fileOf({ task, name, path }: SetSettings): string {
  const known = taskNamed(task);
  if (hubSourceOf(path) !== null)
    throw new UsageError(`evaluation set ${name}: ${path} is not on this machine`, {
      fix: `give path: a file of the task, or a folder that has ${known?.file ?? 'it'}`,
    });
  if (known === undefined) return path;
  const file = fileOfTask(known, path);
  if (!existsSync(file))
    throw new UsageError(`evaluation set ${name}: there is no file or folder ${file}`, {
      fix: `give path: a file of the task, or a folder that has ${known.file}`,
    });
  return file;
}

/** What a task makes of a row, beside its columns; without a task the row. Throws `ColumnError`. */
function rowsOf(record: DataRecord, { task }: SetSettings): DataRecord[] {
  const known = taskNamed(task);
  if (known === undefined) return [record];
  const plain = withDoubles(record) as DataRecord;
  return known.rows(plain).map((row: TaskRow) => ({ ...plain, ...row }));
}

function tryRead<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof ColumnError) return error.message;
    throw error;
  }
}

/** The id is a hash of the whole record, so that another prompt template, chat or not, asks the same questions. */
function questionOf(
  record: DataRecord,
  { columns }: SetSettings,
  asked: AskedAs & { readonly putBefore: ReturnType<PutBefore> | null },
): Omit<Question, 'line'> {
  const { prompt: alone, completion, tools } = exampleOf(record, columns.prompt, asked);
  const prompt = asked.putBefore?.(alone) ?? alone;
  const answer = columns.answer ?? ['answer', 'completion'].find(name => Object.hasOwn(record, name));
  const gold = answer === undefined ? completion : readColumn(record, answer);
  return {
    id: sha256OfText(toJson(record, true)).slice(0, 16),
    prompt,
    ...(tools !== undefined && { tools }),
    gold: textOf(gold),
    record,
  };
}

/** Whether a record asks with messages, not with text; `column` is that of the prompt. */
export function asksInMessages(record: DataRecord, column: string | null): boolean {
  return isConversation(record, column) || Array.isArray(record[column ?? 'prompt']);
}

function isConversation(record: DataRecord, column: string | null): boolean {
  return column === null && record.prompt === undefined && record.messages !== undefined;
}

function exampleOf(record: DataRecord, column: string | null, { isChat, systemPrompt }: AskedAs): Example {
  const asked = isConversation(record, column)
    ? { messages: record.messages, tools: record.tools }
    : { prompt: readColumn(record, column ?? 'prompt'), tools: record.tools };
  const columns = { prompt: null, completion: null, messages: null };
  return shapeExample(asked, { columns, as_chat: isChat, system_prompt: systemPrompt }).example;
}

/** Numbers as the file writes them; of messages, what the last one says. */
function textOf(gold: unknown): string | null {
  if (gold === null || gold === undefined) return null;
  if (typeof gold !== 'object' || isNumber(gold)) return writtenText(gold);
  const last: unknown = Array.isArray(gold) ? gold.at(-1) : undefined;
  const content = (last as Partial<Extract<Content[number], object>> | undefined)?.content;
  if (typeof content === 'string') return content;
  throw new ColumnError(`the answer is ${toJson(gold).slice(0, 60)}, not a text or a number`);
}

/** The entries of a list column, or one column or template each. */
function optionsOf(record: DataRecord, { columns }: SetSettings): string[] {
  const name = columns.choices ?? 'choices';
  if (typeof name !== 'string')
    return name.map(column => {
      const option = readColumn(record, column);
      return optionOf(option, `the option of ${column}`);
    });
  const options = readColumn(record, name);
  if (!Array.isArray(options) || options.length < 2)
    throw new ColumnError(`${name} is not a list of at least two texts`);
  return options.map((option, i) => optionOf(option, `option ${i} of ${name}`));
}

function optionOf(value: unknown, name: string): string {
  const text = typeof value === 'string' || isNumber(value) ? writtenText(value) : null;
  if (text !== null && text.trim() !== '') return text;
  throw new ColumnError(`${name} is ${toJson(value).slice(0, 60)}, not a text`);
}

/** One label an option where a column says them; a list of the configuration may be longer than a question has options. */
function labelsOf(record: DataRecord, { columns }: SetSettings, options: number): readonly string[] | null {
  const { labels } = columns;
  if (labels === null || typeof labels !== 'string') return labels;
  const list = readColumn(record, labels);
  if (!Array.isArray(list)) throw new ColumnError(`${labels} is not a list of labels`);
  if (list.length !== options)
    throw new ColumnError(`${labels} has ${list.length} labels for ${options} options`);
  return list.map((label, i) => optionOf(label, `label ${i} of ${labels}`));
}

/** Something with an id that is a hash of its content, as hexadecimal text. */
export type Identified = { readonly id: string };

/** The `count` values with the smallest ids, in the order given: more are a superset of fewer. All where `count` is null. */
export function chooseByHash<T extends Identified>(values: readonly T[], count: number | null): T[] {
  const byId = (a: { value: T }, b: { value: T }) =>
    a.value.id < b.value.id ? -1 : Number(a.value.id > b.value.id);
  return values
    .map((value, place) => ({ value, place }))
    .sort(byId)
    .slice(0, count ?? values.length)
    .sort((a, b) => a.place - b.place)
    .map(({ value }) => value);
}
