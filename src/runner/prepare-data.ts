/** The examples of a run as token files, with what the plan needs to know of them. */
import { basename } from 'node:path';
import type { DataForm } from '../config/effects.ts';
import { type RunConfig, settingsOf } from '../config/schema.ts';
import type { DataError } from '../data/data-error.ts';
import {
  type Dataset,
  describeDataset,
  describeIndexed,
  openDataset,
  openExamples,
  type Selection,
} from '../data/dataset.ts';
import { lineOfRow } from '../data/example-index.ts';
import { checkLengths, checkPositions, describeDrops, type LengthReport } from '../data/lengths.ts';
import type { TokenFile } from '../data/token-file.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { readUserText } from '../files/user-file.ts';
import type { DatasetSettings } from '../methods/method.ts';
import type { DataFacts } from '../plan/plan.ts';
import type { Progress, Sequences, TrainingData } from '../training/run.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { readDataForm, refuseWithoutEffect } from './data-form.ts';
import { encodeData } from './encode-data.ts';
import { methodsOf } from './make-plan.ts';
import { type Encoded, encoderOf, sequencesOf, trainingData } from './training-data.ts';

export type PreparedData = {
  readonly dataset: Dataset;
  readonly train: TrainingData;
  readonly datasets: Readonly<Record<string, Sequences>>;
  readonly testTokens: TokenFile;
  readonly facts: DataFacts;
  /** What decides over keys that only some data give an effect. */
  readonly form: DataForm;
  /** Tokens of the training examples that the loss counts, in one epoch over gold. */
  readonly learnedTokens: number;
  readonly chatTemplate: string | null;
  /** Ids at which every sampling of a run stops, ascending: those of the model, and those that end an answer under the template. */
  readonly stopIds: readonly number[];
  /** Whether the chat template wrote something after the date. */
  readonly readsDate: boolean;
  /** Names the data as a whole: training and held out. */
  readonly dataDigest: string;
  /** Closes the token files. */
  readonly close: () => Promise<void>;
};

export type DataSurroundings = {
  readonly cache: string;
  readonly progress: Progress;
  /** What chat templates take for today. */
  readonly date: string;
  /** Aborted when the person asks to stop. */
  readonly signal?: AbortSignal | undefined;
  /** Takes what a run refuses and one may still look at; by default it is thrown. */
  readonly refuse?: (error: DataError) => void;
};

/** Index, encode (once; a cache keeps the tokens) and check lengths. Says what was found. Throws `DataError`. */
export async function prepareData(
  config: RunConfig,
  worker: Worker,
  model: ModelInfo,
  { cache, progress, date, signal, refuse = fail }: DataSurroundings,
): Promise<PreparedData> {
  checkPositions(config.max_length, model.maxPositions);
  const dataset = await openDataset(config, cache);
  const form = await readDataForm(config, dataset, cache);
  refuseWithoutEffect(config, form);
  for (const line of describeDataset(dataset)) progress.say(line);
  const template =
    config.chat_template_path === null ? null : readUserText(config.chat_template_path, 'chat_template_path');
  const encode = ({ index }: Selection, columns = config.columns) =>
    encodeData({ ...config, columns }, worker, index, {
      cache,
      progress,
      date,
      signal,
      template,
      model,
      refuse,
    });
  const train = await encode(dataset.train);
  const files = [train.tokens];
  const close = async () => void (await Promise.all(files.map(file => file.close())));
  try {
    const test = isSameFile(dataset) ? train : await encode(dataset.test);
    if (test !== train) files.push(test.tokens);
    const data = { dataset, form, train, test, template, date, progress, refuse };
    const checked = await checkData(config, worker, model, data);
    const datasets: Record<string, Sequences> = {};
    for (const [name, settings] of furtherDatasets(config)) {
      const options = { ...config, columns: settings.columns, most: settings.max_samples };
      const selection = await openExamples(settings.dataset_name, options, cache);
      for (const line of describeIndexed(selection.index)) progress.say(line);
      const encoded = await encode(selection, settings.columns);
      files.push(encoded.tokens);
      const lengths = usableOf(config, selection, encoded, { progress, refuse });
      datasets[name] = sequencesOf(config, encoded, lengths);
    }
    const digests = Object.values(datasets).map(({ digest }) => digest);
    const dataDigest =
      digests.length === 0 ? checked.dataDigest : sha256OfRecord([checked.dataDigest, ...digests]);
    return { ...checked, datasets, dataDigest, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Data sets beside the training data, by name: those of all methods of the run. */
export function furtherDatasets(config: RunConfig): (readonly [string, DatasetSettings])[] {
  return methodsOf(config).flatMap(method =>
    Object.entries(method.datasets?.(settingsOf(config, method)) ?? {}),
  );
}

function fail(error: DataError): never {
  throw error;
}

/** Test examples may be named to be those that are trained on: what is said of them is said once. */
function isSameFile({ train, test }: Dataset): boolean {
  const [{ source, digest }, other] = [train.index, test.index];
  return source === other.source && digest === other.digest;
}

type EncodedData = Required<Pick<DataSurroundings, 'progress' | 'refuse'>> & {
  readonly template: string | null;
  readonly date: string;
  readonly dataset: Dataset;
  readonly form: DataForm;
  readonly train: Encoded;
  readonly test: Encoded;
};

async function checkData(
  config: RunConfig,
  worker: Worker,
  model: ModelInfo,
  { dataset, form, train, test, template, date, progress, refuse }: EncodedData,
): Promise<Omit<PreparedData, 'close' | 'datasets'>> {
  const stopIds = stopIdsOf(model, [train.tokens, test.tokens]);
  await sayStops(worker, model, stopIds, progress);
  const lengths = usableOf(config, dataset.train, train, { progress, refuse });
  return {
    dataset,
    train: trainingData(
      dataset.train,
      config,
      sequencesOf(config, train, lengths),
      encoderOf(config, worker, { template, date }),
    ),
    testTokens: test.tokens,
    facts: await factsOf(lengths, dataset, train.tokens),
    form,
    learnedTokens: await learnedIn(train.tokens, lengths.usable, config.max_length),
    chatTemplate: template,
    stopIds,
    readsDate: train.tokens.notes.readsDate || test.tokens.notes.readsDate,
    dataDigest: sha256OfRecord([train.key, test.key, dataset.train.rows.length, dataset.test.rows.length]),
  };
}

/** Tokens that the loss counts, of which a cut example loses some. */
async function learnedIn(tokens: TokenFile, rows: Uint32Array, maxLength: number): Promise<number> {
  let learned = 0;
  for (const row of rows) {
    const isWhole = (tokens.lengths[row] as number) <= maxLength;
    const cut = isWhole ? null : await tokens.read(row, maxLength);
    learned +=
      cut === null
        ? (tokens.learnedLengths[row] as number)
        : cut.learned.reduce((sum, mark) => sum + mark, 0);
  }
  return learned;
}

/** Says what is left out. */
function usableOf(
  config: RunConfig,
  { index, rows }: Selection,
  { tokens }: Encoded,
  { progress, refuse }: Required<Pick<DataSurroundings, 'progress' | 'refuse'>>,
): LengthReport {
  const lengths = checkLengths(index.source, rows, tokens, config);
  if (lengths.tooMany !== null) refuse(lengths.tooMany);
  if (lengths.usable.length < rows.length || lengths.tooLong > 0)
    progress.say(`training examples: ${describeDrops(lengths)}`);
  return lengths;
}

async function factsOf(
  { usable, tokens, promptTokens }: LengthReport,
  { train: { index }, test }: Dataset,
  { lengths, promptLengths }: TokenFile,
): Promise<DataFacts> {
  const promptOf = (row: number) => promptLengths[row] as number;
  const longest = usable.reduce((most, row) => (promptOf(row) > promptOf(most) ? row : most), usable[0] ?? 0);
  const place = `line ${await lineOfRow(index, longest)} of ${basename(index.source)}`;
  return {
    trainExamples: usable.length,
    testExamples: test.rows.length,
    trainTokens: tokens,
    trainPromptTokens: promptTokens,
    longestPrompt: { tokens: promptOf(longest), place },
    completionLengths: usable.map(row => (lengths[row] as number) - promptOf(row)),
  };
}

function stopIdsOf({ eosTokenIds }: ModelInfo, files: readonly TokenFile[]): number[] {
  const ids = new Set([...eosTokenIds, ...files.flatMap(({ notes }) => notes.stopIds)]);
  return [...ids].sort((a, b) => a - b);
}

async function sayStops(
  worker: Worker,
  { eosTokenIds }: ModelInfo,
  stopIds: readonly number[],
  progress: Progress,
): Promise<void> {
  const others = stopIds.filter(id => !eosTokenIds.includes(id));
  if (others.length === 0) return;
  const texts = await worker.decode(
    others.map(id => [id]),
    { skipSpecialTokens: false },
  );
  progress.say(
    `note: answers end with ${texts.join(' or ')}, which is no end of sequence of the model: sampling stops there too`,
  );
}
