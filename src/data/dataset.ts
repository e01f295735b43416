/** The examples of a run: indexed, split into training and test ones, counted. */
import { formatOf } from '../files/data-format.ts';
import { DataError } from './data-error.ts';
import { type ExampleIndex, type IndexOptions, indexExamples } from './example-index.ts';
import { seekableFile } from './open-file.ts';
import { keyedNumbers } from './random.ts';

/** The keys of the configuration that say which examples there are. */
export type DatasetOptions = IndexOptions & {
  readonly dataset_name: string;
  readonly dataset_test_name: string | null;
  readonly test_size: number;
  readonly max_train_samples: number | null;
  readonly max_test_samples: number | null;
  readonly seed: number;
  readonly data_seed: number | null;
};

/** Rows of an index that are used. */
export type Selection = { readonly index: ExampleIndex; readonly rows: Uint32Array };
export type Dataset = { readonly train: Selection; readonly test: Selection };

/** Index and split the data. Throws `DataError`. Unpacked copies of compressed files go to `cacheDirectory`. */
export async function openDataset(options: DatasetOptions, cacheDirectory: string): Promise<Dataset> {
  const index = await indexTraining(options.dataset_name, options, cacheDirectory);
  const { train, test } =
    options.dataset_test_name === null
      ? splitOff(index, options)
      : await fromTestFile(index, options.dataset_test_name, options, cacheDirectory);
  return {
    train: { index: train.index, rows: train.rows.subarray(0, options.max_train_samples ?? undefined) },
    test: { index: test.index, rows: test.rows.subarray(0, options.max_test_samples ?? undefined) },
  };
}

/** Lines for a person: what was recognised, and what was counted. */
export function describeDataset({ train, test }: Dataset): string[] {
  const indexes = train.index === test.index ? [train.index] : [train.index, test.index];
  return [
    ...indexes.flatMap(describeIndexed),
    `${train.rows.length} training examples, ${test.rows.length} held out`,
  ];
}

/** A file of which all examples are trained on, or the first `most`. Throws `DataError`. */
export async function openExamples(
  path: string,
  { most, ...options }: IndexOptions & { readonly most: number | null },
  cacheDirectory: string,
): Promise<Selection> {
  const index = await indexTraining(path, options, cacheDirectory);
  return { index, rows: allRows(index).subarray(0, most ?? undefined) };
}

/** Lines for a person: what was recognised. */
export function describeIndexed(index: ExampleIndex): string[] {
  return [describeIndex(index), ...describeAnswers(index)];
}

async function indexTraining(
  path: string,
  options: IndexOptions,
  cacheDirectory: string,
): Promise<ExampleIndex> {
  const index = await indexExamples(await seekableFile(path, cacheDirectory), options);
  if (!index.shape.startsWith('prompt only')) return index;
  throw new DataError(`${path} has ${index.shape}: there are no completions to train on`, {
    fix: 'name the column of the answers, such as columns: {completion: answer}',
  });
}

function splitOff(index: ExampleIndex, { test_size, data_seed, seed }: DatasetOptions): Dataset {
  const { train, test } = splitRows(index.promptKeys, test_size, data_seed ?? seed);
  if (train.length === 0) {
    throw new DataError(
      `${index.source}: test_size ${test_size} leaves no training example of ${index.count}`,
      {
        fix: 'lower test_size, or give dataset_test_name',
      },
    );
  }
  return { train: { index, rows: train }, test: { index, rows: test } };
}

async function fromTestFile(
  index: ExampleIndex,
  path: string,
  options: DatasetOptions,
  cacheDirectory: string,
): Promise<Dataset> {
  const test = await indexTraining(path, options, cacheDirectory);
  if (test.shape !== index.shape) {
    throw new DataError(`mixed shapes: ${index.source} has ${index.shape}, ${path} has ${test.shape}`);
  }
  return { train: { index, rows: allRows(index) }, test: { index: test, rows: allRows(test) } };
}

function allRows({ count }: ExampleIndex): Uint32Array {
  return Uint32Array.from({ length: count }, (_, row) => row);
}

function describeIndex({ source, shape, form, count, counts, digest }: ExampleIndex): string {
  const parts = [
    `${count} examples`,
    ...(counts.emptyCompletions > 0 ? [`${counts.emptyCompletions} dropped (empty completion)`] : []),
    ...(counts.duplicates > 0 ? [`${counts.duplicates} repeated`] : []),
    ...(counts.blankLines > 0 && formatOf(source) !== 'csv' ? [`${counts.blankLines} blank lines`] : []),
    ...Object.entries(counts.nulls).map(
      ([column, count]) => `${count} ${count === 1 ? 'null' : 'nulls'} in column ${column}`,
    ),
  ];
  const read = form === null ? shape : `${form}, read as ${shape}`;
  return `${source}: ${read}; ${parts.join(', ')}; digest ${digest.slice(0, 12)}`;
}

/** Said where some of what assistants say is only read. */
function describeAnswers({ source, count, counts: { answers, learnedAnswers } }: ExampleIndex): string[] {
  if (answers <= learnedAnswers) return [];
  const perChat = Number((answers / count).toFixed(1));
  const learned =
    learnedAnswers === count
      ? 'only the last is learned (assistant_only_loss: true learns all)'
      : `${learnedAnswers} of ${answers} are learned`;
  return [`${source}: ${perChat} answers a chat, ${learned}`];
}

// Which examples are held out: by a hash of the prompt, so that equal prompts stay together and rows added later move
// nothing.

/** Rows of each side, ascending. */
export type Split = { readonly train: Uint32Array; readonly test: Uint32Array };

/**
 * Split rows by `testSize`: a share below 1 (every prompt decides for itself), else a number of examples (those with the smallest
 * hashes; more where equal prompts share the last hash).
 */
export function splitRows(promptKeys: Uint32Array, testSize: number, seed: number): Split {
  const numbers = keyedNumbers(seed, 'held-out');
  const hashes = promptKeys.map(key => numbers([0, key], 0, 0)[0]);
  const limit = testSize < 1 ? testSize * 2 ** 32 : limitOfSmallest(hashes, testSize);
  let testCount = 0;
  for (const hash of hashes) if (hash < limit) testCount++;
  const train = new Uint32Array(hashes.length - testCount);
  const test = new Uint32Array(testCount);
  let [trainEnd, testEnd] = [0, 0];
  for (const [row, hash] of hashes.entries()) {
    if (hash < limit) test[testEnd++] = row;
    else train[trainEnd++] = row;
  }
  return { train, test };
}

/** Everything below it is among the `count` smallest. */
function limitOfSmallest(hashes: Uint32Array, count: number): number {
  const last = hashes.slice().sort()[Math.min(count, hashes.length) - 1];
  return last === undefined ? 0 : last + 1;
}
