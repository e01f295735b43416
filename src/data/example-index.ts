/** Where each example of a file stands, in 20 bytes an example; the text stays on disk. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { DataError, type LineProblem, lineErrors } from './data-error.ts';
import { type Example, exampleDigest, learnedKey, learnedParts, promptKey } from './example.ts';
import { type PlacedRecord, placeRecord, readLines } from './json-lines.ts';
import type { KnownForm } from './known-forms.ts';
import type { SeekableFile } from './open-file.ts';
import type { IdWords } from './random.ts';
import { type Shape, type ShapeOptions, shapeExample } from './shape.ts';
import { ColumnError, type DataRecord, emptyPlaces, isTemplate } from './template.ts';

/** A row is the number of an example among those kept, from 0. */
export type ExampleIndex = {
  readonly source: string;
  readonly file: string;
  readonly shape: Shape;
  /** That of another tool, where the records have one. */
  readonly form: KnownForm | null;
  readonly count: number;
  /** Byte at which the line of each row starts, and where the last one ends [count + 1]; dropped lines may lie between. */
  readonly offsets: Float64Array;
  /** The first 64 bits of the id of row i: words 2i and 2i + 1. */
  readonly ids: Uint32Array;
  readonly promptKeys: Uint32Array;
  /** SHA-256 over all ids in order, with what is marked as learned: two files with this in common hold the same examples. */
  readonly digest: string;
  readonly counts: ExampleCounts;
};

export type ExampleCounts = {
  readonly lines: number;
  readonly blankLines: number;
  /** Completion without a visible character. */
  readonly emptyCompletions: number;
  readonly duplicates: number;
  /** Nulls that a template leaves out, by column. */
  readonly nulls: Readonly<Record<string, number>>;
  /** What assistants say in the examples, and how much of it is learned; of texts every completion. */
  readonly answers: number;
  readonly learnedAnswers: number;
};

export type IndexOptions = ShapeOptions & { readonly duplicates: 'keep' | 'drop' };

/** Read a file once. Throws `DataError` with every broken line, for mixed shapes and for a file without examples. */
export async function indexExamples(file: SeekableFile, options: IndexOptions): Promise<ExampleIndex> {
  const draft = newDraft(file.lines);
  for await (const lines of readLines(file.file)) {
    for (const line of lines) addRecord(draft, placeRecord(line), options);
  }
  if (draft.problems.length > 0) throw lineErrors(file.source, draft.problems);
  if (draft.shape === null) throw new DataError(`${file.source} is empty: it has no examples`);
  if (draft.count === 0) throw new DataError(`${file.source}: every completion is empty`);
  const { count, tally } = draft;
  return {
    source: file.source,
    file: file.file,
    shape: draft.shape,
    form: draft.form,
    count,
    offsets: draft.offsets.subarray(0, count + 1),
    ids: draft.ids.subarray(0, 2 * count),
    promptKeys: draft.promptKeys.subarray(0, count),
    digest: draft.hash.digest('hex'),
    counts: { lines: file.lines, ...tally, blankLines: file.lines - draft.records },
  };
}

/** The first 64 bits of an example's id: what its draws and seeds hang on. */
export function idWords({ ids }: Pick<ExampleIndex, 'ids'>, row: number): IdWords {
  return [ids[2 * row] as number, ids[2 * row + 1] as number];
}

/** The same as hexadecimal text. */
export function idText(index: Pick<ExampleIndex, 'ids'>, row: number): string {
  const words = idWords(index, row).map(word => word.toString(16).padStart(8, '0'));
  return words.join('');
}

/** The line, from 1, that a row stands in: blank and dropped lines count. */
export async function lineOfRow({ file, offsets }: ExampleIndex, row: number): Promise<number> {
  const end = offsets[row] as number;
  let line = 1;
  if (end === 0) return line;
  for await (const bytes of createReadStream(file, { end: end - 1 }) as AsyncIterable<Buffer>)
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) line++;
  return line;
}

/** What is known while a file is read; arrays are made at full size once, because growing them would need twice the memory. */
function newDraft(capacity: number) {
  const ids = new Uint32Array(2 * capacity);
  return {
    count: 0,
    records: 0,
    offsets: new Float64Array(capacity + 1),
    ids,
    promptKeys: new Uint32Array(capacity),
    cameBefore: duplicateFinder(ids, capacity),
    hash: createHash('sha256'),
    shape: null as Shape | null,
    form: null as KnownForm | null,
    shapeLine: 0,
    problems: [] as LineProblem[],
    tally: {
      emptyCompletions: 0,
      duplicates: 0,
      nulls: {} as Record<string, number>,
      answers: 0,
      learnedAnswers: 0,
    },
  };
}
type Draft = ReturnType<typeof newDraft>;

function addRecord(draft: Draft, placed: PlacedRecord | null, options: IndexOptions): void {
  if (placed === null) return;
  const { line } = placed;
  draft.records++;
  const shaped = 'problem' in placed ? placed.problem.message : tryShape(placed.record, options);
  if (typeof shaped === 'string') {
    draft.problems.push({ line: line.number, message: shaped });
    return;
  }
  if ('record' in placed) countNulls(draft, placed.record, options);
  if (draft.shape === null)
    [draft.shape, draft.form, draft.shapeLine] = [shaped.shape, shaped.form ?? null, line.number];
  if (shaped.shape !== draft.shape || (shaped.form ?? null) !== draft.form) {
    const [here, there] = [shaped, draft].map(({ shape, form }) => form ?? shape);
    const message = `mixed shapes: ${here}, but line ${draft.shapeLine} is ${there}`;
    draft.problems.push({ line: line.number, message });
    return;
  }
  addExample(draft, shaped.example, line, options);
}

function tryShape(record: DataRecord, options: IndexOptions) {
  try {
    return shapeExample(record, options);
  } catch (error) {
    if (error instanceof ColumnError) return error.message;
    throw error;
  }
}

function countNulls({ tally }: Draft, record: DataRecord, { columns }: IndexOptions): void {
  for (const column of [columns.prompt, columns.completion]) {
    if (column === null || !isTemplate(column)) continue;
    for (const name of emptyPlaces(record, column)) tally.nulls[name] = (tally.nulls[name] ?? 0) + 1;
  }
}

function addExample(
  draft: Draft,
  example: Example,
  line: PlacedRecord['line'],
  { duplicates }: IndexOptions,
): void {
  if (isBlank(example)) {
    draft.tally.emptyCompletions++;
    return;
  }
  const row = draft.count;
  const digest = exampleDigest(example);
  draft.offsets[row] = line.offset;
  draft.ids[2 * row] = digest.readUInt32BE(0);
  draft.ids[2 * row + 1] = digest.readUInt32BE(4);
  draft.promptKeys[row] = promptKey(example);
  const isRepeated = draft.cameBefore(row);
  if (isRepeated) draft.tally.duplicates++;
  if (isRepeated && duplicates === 'drop') return;
  draft.hash.update(digest).update(learnedKey(example));
  draft.tally.answers += answersIn(example);
  draft.tally.learnedAnswers += learnedParts(example).length;
  draft.count++;
  draft.offsets[draft.count] = line.offset + line.length;
}

function answersIn({ prompt, completion }: Example): number {
  const parts = [prompt, completion].flatMap(content => (Array.isArray(content) ? content : []));
  return typeof completion === 'string' ? 1 : parts.filter(({ role }) => role === 'assistant').length;
}

function isBlank({ completion }: Example): boolean {
  if (completion === null) return false;
  return typeof completion === 'string'
    ? completion.trim() === ''
    : completion.every(({ content, fields }) => (content ?? '').trim() === '' && fields === undefined);
}

// Which of many 64-bit ids came before: an open hash table of row numbers, 8 to 16 bytes an example while it lives.

/** Returns a function that takes the ids row by row (`ids[2·row]`, `ids[2·row + 1]`) and says whether an earlier row has the same. */
export function duplicateFinder(ids: Uint32Array, capacity: number): (row: number) => boolean {
  const slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, 2 * capacity))));
  const mask = slots.length - 1;
  return row => {
    const high = ids[2 * row];
    const low = ids[2 * row + 1] as number;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const taken = slots[slot] as number;
      if (taken === 0) {
        slots[slot] = row + 1;
        return false;
      }
      if (ids[2 * (taken - 1)] === high && ids[2 * (taken - 1) + 1] === low) return true;
    }
  };
}
