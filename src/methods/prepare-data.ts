/** The examples of a run as token files, with what the plan needs to know of them. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DataForm } from '../config/effects.ts';
import type { RunConfig } from '../config/schema.ts';
import { type Dataset, describeDataset, openDataset, type Selection } from '../data/dataset.ts';
import { encodeToFile } from '../data/encode-file.ts';
import { idText, idWords, lineOfRow } from '../data/example-index.ts';
import { checkLengths, checkPositions, describeDrops, type LengthReport } from '../data/lengths.ts';
import { TokenFile, tokensKey } from '../data/token-file.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { DataFacts } from '../plan/plan.ts';
import type { Progress, TrainingData } from '../stages/run-context.ts';
import { touch } from '../store/in-use.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { readDataForm, refuseWithoutEffect } from './data-form.ts';

export type PreparedData = {
  readonly dataset: Dataset;
  readonly train: TrainingData;
  readonly testTokens: TokenFile;
  readonly facts: DataFacts;
  /** What decides over keys that only some data give an effect. */
  readonly form: DataForm;
  readonly chatTemplate: string | null;
  /** Ids at which every sampling of a run stops, ascending: those of the model, and those that end an answer under the template. */
  readonly stopIds: readonly number[];
  /** Names exactly these training sequences. */
  readonly trainDigest: string;
  /** Names the data as a whole: training and held out. */
  readonly dataDigest: string;
  /** Closes the token files. */
  readonly close: () => Promise<void>;
};

export type DataSurroundings = {
  readonly cache: string;
  readonly progress: Progress;
  /** Aborted when the person asks to stop. */
  readonly signal?: AbortSignal | undefined;
};

/** Index, encode (once; a cache keeps the tokens) and check lengths. Says what was found. Throws `DataError`. */
export async function prepareData(
  config: RunConfig,
  worker: Worker,
  model: ModelInfo,
  { cache, progress, signal }: DataSurroundings,
): Promise<PreparedData> {
  checkPositions(config.max_length, model.maxPositions);
  const dataset = await openDataset(config, cache);
  const form = await readDataForm(config, dataset, cache);
  refuseWithoutEffect(config, form);
  for (const line of describeDataset(dataset)) progress.say(line);
  const template =
    config.chat_template_path === null ? null : readFileSync(config.chat_template_path, 'utf8');
  const encode = (selection: Selection) =>
    encodeSelection(config, worker, selection, { cache, progress, signal, template, model });
  const train = await encode(dataset.train);
  let test = train;
  const close = async () => {
    await train.tokens.close();
    if (test !== train) await test.tokens.close();
  };
  try {
    if (dataset.test.index !== dataset.train.index) test = await encode(dataset.test);
    return {
      ...(await checkData(config, worker, model, { dataset, form, train, test, template, progress })),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

type Encoded = Awaited<ReturnType<typeof encodeSelection>>;
type EncodedData = Pick<EncodeContext, 'progress' | 'template'> & {
  readonly dataset: Dataset;
  readonly form: DataForm;
  readonly train: Encoded;
  readonly test: Encoded;
};

async function checkData(
  config: RunConfig,
  worker: Worker,
  model: ModelInfo,
  { dataset, form, train, test, template, progress }: EncodedData,
): Promise<Omit<PreparedData, 'close'>> {
  const stopIds = stopIdsOf(model, [train.tokens, test.tokens]);
  await sayStops(worker, model, stopIds, progress);
  const lengths = checkLengths(dataset.train.index.source, dataset.train.rows, train.tokens, config);
  if (lengths.usable.length < dataset.train.rows.length || lengths.tooLong > 0)
    progress.say(`training examples: ${describeDrops(lengths)}`);
  return {
    dataset,
    train: trainingData(dataset.train, train.tokens, lengths),
    testTokens: test.tokens,
    facts: await factsOf(lengths, dataset, train.tokens),
    form,
    chatTemplate: template,
    stopIds,
    trainDigest: sha256OfRecord([
      train.key,
      createHash('sha256').update(lengths.usable).digest('hex'),
      config.max_length,
    ]),
    dataDigest: sha256OfRecord([train.key, test.key, dataset.train.rows.length, dataset.test.rows.length]),
  };
}

function trainingData({ index }: Selection, tokens: TokenFile, { usable }: LengthReport): TrainingData {
  const rowOf = (example: number) => usable[example] as number;
  return {
    tokens,
    rows: usable,
    idOf: example => idWords(index, rowOf(example)),
    idTextOf: example => idText(index, rowOf(example)),
  };
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

type EncodeContext = DataSurroundings & { readonly template: string | null; readonly model: ModelInfo };

async function encodeSelection(
  config: RunConfig,
  worker: Worker,
  { index }: Selection,
  { cache, progress, signal, template, model }: EncodeContext,
) {
  const key = tokensKey({
    dataDigest: index.digest,
    tokenizer: model.filesDigest,
    chatTemplate: template,
    templateOptions: config.chat_template_kwargs,
    eosTokenIds: model.eosTokenIds,
  });
  const path = join(cache, `tokens-${key}.bin`);
  if (!existsSync(path)) {
    let done = 0;
    const options = { chatTemplate: template, templateOptions: config.chat_template_kwargs, signal };
    const encode = async (examples: Parameters<Worker['encode']>[0]) => {
      const encoded = await worker.encode(examples, options);
      done += examples.length;
      progress.update('encode', done, index.count, 0);
      return encoded;
    };
    await encodeToFile(index, config, encode, path);
  } else touch(path);
  const tokens = await TokenFile.open(path);
  for (const { code, message, count, firstRow } of tokens.notes.warnings) {
    const place = `line ${await lineOfRow(index, firstRow)} of ${basename(index.source)}`;
    progress.say(
      `warning: ${code}: ${message} (${count} ${count === 1 ? 'example, in' : 'examples, first in'} ${place})`,
    );
  }
  return { key, tokens };
}
