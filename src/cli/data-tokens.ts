import type { RunConfig } from '../config/schema.ts';
import type { DataError } from '../data/data-error.ts';
import type { Selection } from '../data/dataset.ts';
import { type ExampleCounts, type ExampleIndex, idText } from '../data/example-index.ts';
import type { TokenFile } from '../data/token-file.ts';
import { UsageError } from '../errors.ts';
import { tmsHome } from '../python/paths.ts';
import { templateDateOf } from '../run/template-date.ts';
import { fetchData } from '../runner/fetch-data.ts';
import { type PreparedData, prepareData } from '../runner/prepare-data.ts';
import { openStore } from '../store/store.ts';
import { loadOptions } from '../training/load-options.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import { startWorker } from '../worker/start.ts';
import { completionOnly, type Worker } from '../worker/worker.ts';
import { type ShownExample, showExample } from './data-example.ts';
import { type CliContext, terminalProgress } from './terminal.ts';
export type ShowRequest = {
  readonly count: number;
  /** Null: training examples, or wherever `id` is found. */
  readonly split: 'train' | 'test' | null;
  /** How the id of the one example begins. */
  readonly id: string | null;
};

type SplitFacts = Pick<ExampleIndex, 'source' | 'shape' | 'count' | 'digest'> & {
  readonly counts: ExampleCounts;
};

export type FoundTokens = {
  readonly train: SplitFacts & { readonly examples: number };
  readonly test: SplitFacts & { readonly examples: number };
  readonly tokens: {
    readonly trainTokens: number;
    readonly trainPromptTokens: number;
    readonly learnedTokens: number;
    readonly longest: number;
    readonly maxLength: number;
  };
  readonly examples: readonly ShownExample[];
};

/** Prepare the data as a run does and read some examples; `say` gets a line for everything a run would say. */
export function readTokens(
  config: RunConfig,
  request: ShowRequest,
  context: CliContext,
  say: (line: string) => void,
): Promise<FoundTokens> {
  return withPreparedData(config, { context, say }, async (data, worker) => ({
    ...factsOf(data, config),
    examples: await readExamples(data, request, { config, worker }),
  }));
}

/** Do something with the data of a configuration as a run prepares them (`local`: with files for what it names on the hub), and close them. What a run would refuse is said. */
export async function withPreparedData<T>(
  config: RunConfig,
  { context: { terminal, env }, say }: { context: CliContext; say: (line: string) => void },
  work: (data: PreparedData, worker: Worker, local: RunConfig) => Promise<T>,
): Promise<T> {
  const progress = { ...terminalProgress(terminal), say };
  const python = config.worker.python ?? undefined;
  const worker = await startWorker({ python, report: line => terminal.note(line) });
  try {
    const model = await loadForTokenizer(worker, config);
    const { cache } = openStore(tmsHome(env));
    const refuse = (error: DataError) =>
      say(`a run refuses this: ${error.message}${error.fix === null ? '' : `; ${error.fix}`}`);
    const date = templateDateOf(config.chat_template_date, config.output_dir);
    const { config: local } = await fetchData(config, { cacheDirectory: cache, python, say });
    const data = await prepareData(local, worker, model, { cache, progress, date, refuse });
    try {
      return await work(data, worker, local);
    } finally {
      await data.close();
    }
  } finally {
    progress.clear();
    await worker.close();
  }
}

/** Only the tokenizer is wanted: keep away from a GPU that may be training, and from kernels that need one. */
function loadForTokenizer(worker: Worker, config: RunConfig): Promise<ModelInfo> {
  const { model_name_or_path: model } = config;
  return worker.load({
    ...loadOptions(config),
    model,
    device: 'cpu',
    attention: 'eager',
    quantization: null,
    determinism: 'off',
  });
}

function factsOf(
  { dataset, facts, learnedTokens, train: { tokens, rows } }: PreparedData,
  config: RunConfig,
): Omit<FoundTokens, 'examples'> {
  const { trainTokens, trainPromptTokens, trainExamples, testExamples } = facts;
  const longest = rows.reduce((most, row) => Math.max(most, tokens.lengths[row] ?? 0), 0);
  return {
    train: { ...splitFacts(dataset.train), examples: trainExamples },
    test: { ...splitFacts(dataset.test), examples: testExamples },
    tokens: { trainTokens, trainPromptTokens, learnedTokens, longest, maxLength: config.max_length },
  };
}

function splitFacts({ index: { source, shape, count, counts, digest } }: Selection): SplitFacts {
  return { source, shape, count, counts, digest };
}

type ReadContext = { readonly config: RunConfig; readonly worker: Worker };
type Chosen = { readonly split: 'train' | 'test'; readonly row: number };

async function readExamples(
  data: PreparedData,
  request: ShowRequest,
  context: ReadContext,
): Promise<ShownExample[]> {
  const chosen =
    request.id === null ? firstExamples(data, request) : [findExample(data, request.id, request.split)];
  const shown: ShownExample[] = [];
  for (const one of chosen) shown.push(await readExample(data, one, context));
  return shown;
}

function firstExamples({ dataset, train }: PreparedData, { split, count }: ShowRequest): Chosen[] {
  const rows = split === 'test' ? dataset.test.rows : train.rows;
  return Array.from(rows.subarray(0, count), row => ({ split: split ?? 'train', row }));
}

/** Also among those that training drops: to see why is what one asks for. */
function findExample({ dataset }: PreparedData, id: string, split: ShowRequest['split']): Chosen {
  const splits = split === null ? (['train', 'test'] as const) : [split];
  const wanted = id.toLowerCase();
  for (const name of splits) {
    const { index, rows } = dataset[name];
    const row = rows.find(candidate => idText(index, candidate).startsWith(wanted));
    if (row !== undefined) return { split: name, row };
  }
  throw new UsageError(
    `no ${split ?? 'training or test'} example has an id that begins with ${JSON.stringify(id)}`,
    {
      fix: 'ids are in the headings of tms data show, and in answers/ and curriculum.jsonl of a run',
    },
  );
}

async function readExample(
  data: PreparedData,
  { split, row }: Chosen,
  { config, worker }: ReadContext,
): Promise<ShownExample> {
  const tokens: TokenFile = split === 'train' ? data.train.tokens : data.testTokens;
  const encoded = await tokens.read(row, config.max_length);
  const { ids, ce: weights = [] } = completionOnly(encoded);
  return {
    id: idText(data.dataset[split].index, row),
    split,
    row,
    isUsed: split === 'test' || data.train.rows.includes(row),
    length: tokens.lengths[row] as number,
    promptLength: tokens.promptLengths[row] as number,
    endsWithEos: data.stopIds.includes(encoded.ids.at(-1) ?? -1),
    tokens: showExample(ids, weights, await tokenTexts(worker, encoded.ids)),
  };
}

/**
 * The text of each token. Some tokenizers drop the space before a token that stands alone, so it is what the token adds to the one
 * before it; a token that is a part of a character shows as �.
 */
async function tokenTexts(worker: Worker, ids: Int32Array): Promise<string[]> {
  const single = Array.from(ids, id => Int32Array.of(id));
  const pairs = Array.from(ids.subarray(1), (_, i) => ids.slice(i, i + 2));
  const texts = await worker.decode([...single, ...pairs], { skipSpecialTokens: false });
  return single.map((_, i) => {
    const [alone = '', before = '', both = ''] = [texts[i], texts[i - 1], texts[ids.length + i - 1]];
    return i > 0 && both.startsWith(before) ? both.slice(before.length) : alone;
  });
}
