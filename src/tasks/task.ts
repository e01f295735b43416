/** What a task is: a benchmark as this tool asks it, in one record. */
import type { DataRecord } from '../data/template.ts';
import { ColumnError } from '../data/template.ts';

/** Where a data set is on the hub. */
export type HubSource = { readonly path: string; readonly name?: string; readonly split: string };

/** A question of a task. What a scorer needs besides stands beside these, under names of its own. */
export type TaskRow = DataRecord & {
  readonly prompt: string;
  /** The right answer in words; of options, the place of the right one from 0. Null: the scorer knows. */
  readonly answer: string | number | null;
  readonly choices?: readonly string[];
  /** A prompt for each option where they differ: then all options are the same text behind them. */
  readonly contexts?: readonly string[];
};

/** How a task is asked and scored, in the words of an evaluation set. */
export type TaskSettings = {
  readonly scorer:
    | 'countdown'
    | 'exact_match'
    | 'gsm8k'
    | 'hotpotqa'
    | 'ifeval'
    | 'lambada'
    | 'letter'
    | 'math'
    | 'multiple_choice'
    | 'toolalpaca'
    | 'triviaqa';
  readonly max_new_tokens?: number;
  readonly stop?: readonly string[];
  /** False: asked as plain text, as in lm-eval, whatever the model is trained on. */
  readonly as_chat?: boolean;
};

/** A row as an example before a question. `asked` is the question as plain text there, `head` what stands once before all. */
export type Shot = {
  readonly asked: string;
  readonly answer: string;
  readonly head?: string;
  /** Questions get examples of their own group. */
  readonly group?: string;
};

/** Where the examples before a question are from: the training or development split. */
export type FewShot = {
  readonly hub: HubSource;
  /** Its file below a folder of data sets. */
  readonly file: string;
  readonly isGrouped?: boolean;
  /** Throws `ColumnError`. */
  readonly of: (record: DataRecord) => Shot;
};

/** A benchmark: its data, what is asked, and how an answer is scored. */
export type Task = {
  /** Raise it whenever a prompt or what is taken from a row could differ. */
  readonly version: number;
  readonly title: string;
  /** Null: the data set has no place on the hub with its right answers. */
  readonly hub: HubSource | null;
  /** Its file below a folder of data sets. */
  readonly file: string;
  readonly settings: TaskSettings;
  readonly shots?: FewShot;
  /** The questions of a row of the file, mostly one. Throws `ColumnError`. */
  readonly rows: (record: DataRecord) => readonly TaskRow[];
};

/** A text of a row, by the first of these columns that there is. Throws `ColumnError`. */
export function textOf(record: DataRecord, ...columns: readonly string[]): string {
  const column = columns.find(name => Object.hasOwn(record, name)) ?? columns[0] ?? '';
  const value = record[column];
  if (typeof value === 'string') return value;
  if (value === undefined)
    throw new ColumnError(
      `no column "${columns.join('" or "')}"; there are: ${Object.keys(record).join(', ')}`,
    );
  throw new ColumnError(`${column} is ${JSON.stringify(value)?.slice(0, 60)}, not a text`);
}

/** A list of texts of a row. Throws `ColumnError`. */
export function textsOf(value: unknown, name: string): string[] {
  if (Array.isArray(value) && value.every(entry => typeof entry === 'string')) return value as string[];
  throw new ColumnError(`${name} is ${JSON.stringify(value)?.slice(0, 60)}, not a list of texts`);
}

/** The place of a right option: a number from `first`, as a number or a text. Throws `ColumnError`. */
export function placeOf(value: unknown, options: number, first = 0): number {
  const place = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof place === 'number' && Number.isInteger(place) && place >= first && place < options + first)
    return place - first;
  throw new ColumnError(
    `the right option is ${JSON.stringify(value)}, not a number from ${first} to ${options - 1 + first}`,
  );
}

/** The letters of options. */
export const letters = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J'] as const;

/** One option a line, each behind its letter. */
export function lettered(options: readonly string[]): string {
  return options.map((option, i) => `${letters[i]}. ${option}`).join('\n');
}
