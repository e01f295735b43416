/** The examples of a run as token files, with what the plan needs to know of them. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { type Dataset, describeDataset, openDataset, type Selection } from '../data/dataset.ts';
import { encodeToFile } from '../data/encode-file.ts';
import { idText, idWords } from '../data/example-index.ts';
import { checkLengths, checkPositions, describeDrops, type LengthReport } from '../data/lengths.ts';
import { TokenFile, tokensKey } from '../data/token-file.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { DataFacts } from '../plan/plan.ts';
import type { Progress, TrainingData } from '../stages/run-context.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { EncodeWarning, Worker } from '../worker/worker.ts';

export type PreparedData = {
  readonly dataset: Dataset;
  readonly train: TrainingData;
  readonly testTokens: TokenFile;
  readonly facts: DataFacts;
  readonly chatTemplate: string | null;
  /** Names exactly these training sequences. */
  readonly trainDigest: string;
  /** Names the data as a whole: training and held out. */
  readonly dataDigest: string;
  /** Closes the token files. */
  readonly close: () => Promise<void>;
};

/** Index, encode (once; a cache keeps the tokens) and check lengths. Says what was found. Throws `DataError`. */
export async function prepareData(
  config: RunConfig,
  worker: Worker,
  model: ModelInfo,
  { cache, progress }: { cache: string; progress: Progress },
): Promise<PreparedData> {
  checkPositions(config.max_length, model.maxPositions);
  const dataset = await openDataset(config, cache);
  for (const line of describeDataset(dataset)) progress.say(line);
  const template =
    config.chat_template_path === null ? null : readFileSync(config.chat_template_path, 'utf8');
  const encode = (selection: Selection) =>
    encodeSelection(config, worker, selection, { cache, progress, template });
  const train = await encode(dataset.train);
  const test = dataset.test.index === dataset.train.index ? train : await encode(dataset.test);
  const lengths = checkLengths(dataset.train.index.source, dataset.train.rows, train.tokens, config);
  if (lengths.usable.length < dataset.train.rows.length || lengths.tooLong > 0)
    progress.say(`training examples: ${describeDrops(lengths)}`);
  return {
    dataset,
    train: trainingData(dataset.train, train.tokens, lengths),
    testTokens: test.tokens,
    facts: factsOf(lengths, dataset),
    chatTemplate: template,
    trainDigest: sha256OfRecord([
      train.key,
      createHash('sha256').update(lengths.usable).digest('hex'),
      config.max_length,
    ]),
    dataDigest: sha256OfRecord([train.key, test.key, dataset.train.rows.length, dataset.test.rows.length]),
    close: async () => {
      await train.tokens.close();
      if (test !== train) await test.tokens.close();
    },
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

function factsOf({ usable, tokens, promptTokens }: LengthReport, { test }: Dataset): DataFacts {
  return {
    trainExamples: usable.length,
    testExamples: test.rows.length,
    trainTokens: tokens,
    trainPromptTokens: promptTokens,
  };
}

type EncodeContext = { cache: string; progress: Progress; template: string | null };

async function encodeSelection(
  config: RunConfig,
  worker: Worker,
  { index }: Selection,
  { cache, progress, template }: EncodeContext,
) {
  const key = tokensKey({
    dataDigest: index.digest,
    tokenizer: tokenizerKey(config),
    chatTemplate: template,
    templateOptions: config.chat_template_kwargs,
  });
  const path = join(cache, `tokens-${key}.bin`);
  if (!existsSync(path)) {
    const warnings = new Map<string, EncodeWarning>();
    let done = 0;
    const options = { chatTemplate: template, templateOptions: config.chat_template_kwargs };
    const encode = async (examples: Parameters<Worker['encode']>[0]) => {
      const encoded = await worker.encode(examples, options);
      for (const warning of encoded.warnings) warnings.set(warning.code, warning);
      done += examples.length;
      progress.update('encode', done, index.count, 0);
      return encoded.sequences;
    };
    await encodeToFile(index, config, encode, path);
    for (const { code, message, firstIndex } of warnings.values())
      progress.say(`warning: ${code}: ${message} (first in example ${firstIndex})`);
  }
  return { key, tokens: await TokenFile.open(path) };
}

const tokenizerFiles = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
];

/** A directory's tokenizer by its files, a hub id by its name and revision. */
function tokenizerKey({ model_name_or_path, model_revision }: RunConfig): string {
  const files = tokenizerFiles.map(name => join(model_name_or_path, name)).filter(path => existsSync(path));
  if (files.length === 0) return `${model_name_or_path}@${model_revision}`;
  const hash = createHash('sha256');
  for (const file of files) hash.update(file.slice(model_name_or_path.length)).update(readFileSync(file));
  return hash.digest('hex');
}
