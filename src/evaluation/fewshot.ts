/** Examples before each question of a task (few-shot): the first of its training split, in the order of the file, as lm-eval words them. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '../data/data-error.ts';
import type { Content } from '../data/example.ts';
import { withDoubles } from '../data/json.ts';
import { readRecords } from '../data/json-lines.ts';
import { seekableFile } from '../data/open-file.ts';
import { ColumnError, type DataRecord } from '../data/template.ts';
import { UsageError } from '../errors.ts';
import { hubSourceOf, taskNamed } from '../tasks/index.ts';
import type { FewShot, Shot, Task } from '../tasks/task.ts';
import type { SetSettings } from './read-set.ts';

/** Puts the examples before the question of a record of the file. Throws `ColumnError` where the question is one of them. */
export type PutBefore = (record: DataRecord) => (asked: Content) => Content;

type Example = Shot & { readonly prompt: string };

/** The file of the examples; null where none are asked for. Throws `UsageError` where it is not there, or only on the hub. */
export function shotsFileOf({ task, name, path, num_fewshot, fewshot_path }: SetSettings): string | null {
  const shots = taskNamed(task)?.shots;
  if (shots === undefined || (num_fewshot ?? 0) === 0) return null;
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const file = fewshot_path ?? (isFolder ? join(path, shots.file) : null);
  if (file !== null && hubSourceOf(file) === null && existsSync(file)) return file;
  throw new UsageError(
    `evaluation set ${name}: ${file === null ? 'nothing says where the examples of num_fewshot are' : `there is no ${file}`}`,
    {
      fix: `give fewshot_path: a file of the task's training split, or path: a folder that has ${shots.file}`,
    },
  );
}

/** Reads what stands before the questions of a set; null: nothing does. Throws `DataError`. */
export async function readShots(set: SetSettings, cacheDirectory: string): Promise<PutBefore | null> {
  const file = shotsFileOf(set);
  const known = taskNamed(set.task);
  if (file === null || known?.shots === undefined) return null;
  const count = set.num_fewshot ?? 0;
  const groups = new Map<string, Example[]>();
  for await (const example of examplesIn(file, known, cacheDirectory)) {
    const group = groups.get(example.group ?? '') ?? [];
    groups.set(example.group ?? '', group);
    if (group.length < count) group.push(example);
    if (known.shots.isGrouped !== true && group.length === count) break;
  }
  return putBefore({ groups, of: known.shots.of, count, file });
}

async function* examplesIn(
  file: string,
  { rows, shots }: Task,
  cacheDirectory: string,
): AsyncGenerator<Example> {
  for await (const placed of readRecords(await seekableFile(file, cacheDirectory))) {
    const place = `${file}: line ${placed.line.number}`;
    if (!('record' in placed)) throw new DataError(`${place}: ${placed.problem.message}`);
    const record = withDoubles(placed.record) as DataRecord;
    try {
      yield { ...(shots as FewShot).of(record), prompt: rows(record)[0]?.prompt ?? '' };
    } catch (error) {
      throw error instanceof ColumnError ? new DataError(`${place}: ${error.message}`) : error;
    }
  }
}

type Found = {
  readonly groups: ReadonlyMap<string, readonly Example[]>;
  readonly of: FewShot['of'];
  readonly count: number;
  readonly file: string;
};

function putBefore(found: Found): PutBefore {
  return record => asked => {
    const { head = '', asked: question, group = '' } = found.of(withDoubles(record) as DataRecord);
    const shots = shotsFor(question, group, found);
    if (typeof asked === 'string')
      return head + shots.map(shot => `${shot.asked} ${shot.answer}\n\n`).join('') + question;
    const turns = shots.flatMap(shot => [
      { role: 'user', content: shot.prompt },
      { role: 'assistant', content: shot.answer },
    ]);
    return [...asked.slice(0, -1), ...turns, ...asked.slice(-1)];
  };
}

function shotsFor(question: string, group: string, { groups, count, file }: Found): readonly Example[] {
  const shots = groups.get(group) ?? [];
  const ofGroup = group === '' ? '' : ` of ${group}`;
  if (shots.length < count)
    throw new ColumnError(`num_fewshot is ${count}, but ${file} has ${shots.length} examples${ofGroup}`);
  if (shots.some(shot => shot.asked === question))
    throw new ColumnError(`the question is one of the examples of num_fewshot, in ${file}`);
  return shots;
}
