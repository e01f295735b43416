/** The file of an evaluation set as questions: by its columns, with content hashes for ids, the broken lines all at once. */
import type { EvaluationSet } from '../config/evaluation-settings.ts';
import type { DeepReadonly } from '../config/schema.ts';
import { DataError, type LineProblem, lineErrors } from '../data/data-error.ts';
import type { Content, Example } from '../data/example.ts';
import { readRecords } from '../data/records.ts';
import { seekableFile } from '../data/seekable.ts';
import { shapeExample } from '../data/shape.ts';
import { ColumnError, type DataRecord, readColumn } from '../data/template.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { chooseByHash } from './choose.ts';
import type { Question } from './scorer.ts';

export type SetSettings = DeepReadonly<EvaluationSet>;

/** A question with options, one of which is right. */
export type Choice = Question & { readonly options: readonly string[]; readonly right: number };

/** Whether text prompts become chats, and their system message. */
export type AskedAs = { readonly isChat: boolean; readonly systemPrompt: string | null };
export type SetPlace = AskedAs & { readonly cacheDirectory: string };

/** Questions to be answered in words; `problemOf` refuses those that cannot be scored. Throws `DataError`. */
export function readQuestions(
  set: SetSettings,
  place: SetPlace,
  problemOf: (question: Question) => string | null,
): Promise<Question[]> {
  return readAll(set, place, record => {
    const question = questionOf(record, set, place);
    const problem = problemOf(question);
    if (problem !== null) throw new ColumnError(problem);
    return question;
  });
}

/** Questions with options. Throws `DataError`. */
export function readChoices(set: SetSettings, place: SetPlace): Promise<Choice[]> {
  return readAll(set, place, record => {
    const options = optionsOf(record, set);
    const right = rightOption(record, options, set);
    return { ...questionOf(record, set, place), reference: options[right] ?? null, options, right };
  });
}

async function readAll<T extends Question>(
  set: SetSettings,
  { cacheDirectory }: SetPlace,
  read: (record: DataRecord) => T,
): Promise<T[]> {
  const questions: T[] = [];
  const problems: LineProblem[] = [];
  for await (const placed of readRecords(await seekableFile(set.path, cacheDirectory))) {
    const found = 'record' in placed ? tryRead(placed.record, read) : placed.problem.message;
    if (typeof found === 'string') problems.push({ line: placed.line.number, message: found });
    else questions.push(found);
  }
  const place = `evaluation set ${set.name}: ${set.path}`;
  if (problems.length > 0)
    throw lineErrors(place, problems, 'say with columns where prompt, answer and choices are');
  if (questions.length === 0) throw new DataError(`${place} is empty: there is nothing to ask`);
  return chooseByHash(questions, set.limit);
}

function tryRead<T>(record: DataRecord, read: (record: DataRecord) => T): T | string {
  try {
    return read(record);
  } catch (error) {
    if (error instanceof ColumnError) return error.message;
    throw error;
  }
}

/** The id is a hash of the whole record, so that another prompt template, chat or not, asks the same questions. */
function questionOf(record: DataRecord, { columns }: SetSettings, asked: AskedAs): Question {
  const { prompt, completion } = exampleOf(record, columns.prompt, asked);
  const reference =
    columns.answer === null
      ? (record.answer ?? record.completion ?? completion)
      : readColumn(record, columns.answer);
  return { id: sha256OfRecord(record).slice(0, 16), prompt, reference: textOf(reference), record };
}

function exampleOf(record: DataRecord, column: string | null, { isChat, systemPrompt }: AskedAs): Example {
  const hasMessages = column === null && record.prompt === undefined && record.messages !== undefined;
  const asked = hasMessages
    ? { messages: record.messages }
    : { prompt: readColumn(record, column ?? 'prompt') };
  const columns = { prompt: null, completion: null, messages: null };
  return shapeExample(asked, { columns, as_chat: isChat, system_prompt: systemPrompt }).example;
}

/** Numbers as they are written; of messages, what the last one says. */
function textOf(reference: unknown): string | null {
  if (reference === null || reference === undefined) return null;
  if (typeof reference === 'string') return reference;
  if (typeof reference === 'number' || typeof reference === 'boolean') return String(reference);
  const last: unknown = Array.isArray(reference) ? reference.at(-1) : undefined;
  const content = (last as Partial<Extract<Content[number], object>> | undefined)?.content;
  if (typeof content === 'string') return content;
  throw new ColumnError(`the answer is ${JSON.stringify(reference).slice(0, 60)}, not a text or a number`);
}

function optionsOf(record: DataRecord, { columns }: SetSettings): string[] {
  const name = columns.choices ?? 'choices';
  const options = readColumn(record, name);
  const isList = Array.isArray(options) && options.length > 1;
  if (isList && options.every(option => typeof option === 'string' && option.trim() !== '')) return options;
  throw new ColumnError(`${name} is not a list of at least two texts`);
}

/** The answer is a label where there are labels, else a place from 0 or the text of an option. */
function rightOption(record: DataRecord, options: readonly string[], { columns }: SetSettings): number {
  const answer = readColumn(record, columns.answer ?? 'answer');
  const names =
    columns.labels === null ? options : listOf(readColumn(record, columns.labels), columns.labels);
  const place = names.indexOf(String(answer));
  if (place >= 0 && place < options.length) return place;
  const number = Number(answer);
  const isPlace =
    columns.labels === null && String(answer).trim() !== '' && number >= 0 && number < options.length;
  if (isPlace && Number.isInteger(number)) return number;
  const expected =
    columns.labels === null
      ? `a place from 0 to ${options.length - 1} or one of the options`
      : `one of ${names.join(', ')}`;
  throw new ColumnError(`the answer is ${JSON.stringify(answer)}, not ${expected}`);
}

function listOf(value: unknown, name: string): string[] {
  if (Array.isArray(value)) return value.map(String);
  throw new ColumnError(`${name} is not a list of labels`);
}
