/** The tokens of one data file: from the cache or made now, with what is to be said about them either way. */
import { existsSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { DataError, type LineProblem, lineErrors, listedLines } from '../data/data-error.ts';
import { type Encode, encodeToFile } from '../data/encode-file.ts';
import { type ExampleIndex, lineOfRow } from '../data/example-index.ts';
import { TokenFile } from '../data/token-file.ts';
import { type TokenNotes, tokensKey, warningText } from '../data/token-notes.ts';
import { touch } from '../store/in-use.ts';
import type { Progress } from '../training/run.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { WorkerError } from '../worker/worker-error.ts';

type EncodeContext = {
  readonly cache: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Text of the template used in place of the tokenizer's; null: the tokenizer's. */
  readonly template: string | null;
  /** What the template takes for today. */
  readonly date: string;
  readonly model: ModelInfo;
  readonly refuse: (error: DataError) => void;
};

/** Encode a file once; say every time what there is to say. Throws `DataError` for examples that cannot be encoded. */
export async function encodeData(
  config: RunConfig,
  worker: Worker,
  index: ExampleIndex,
  context: EncodeContext,
): Promise<{ key: string; tokens: TokenFile }> {
  const options = {
    chatTemplate: context.template,
    templateOptions: config.chat_template_kwargs,
    splitSpecialTokens: config.split_special_tokens ?? true,
  };
  const keyOn = (date: string | null) =>
    tokensKey({
      ...options,
      date,
      dataDigest: index.digest,
      tokenizer: context.model.filesDigest,
      eosTokenIds: context.model.eosTokenIds,
    });
  const pathOf = (key: string) => join(context.cache, `tokens-${key}.bin`);
  // Whether the date is part of them is known once they are made.
  const [always, today] = [keyOn(null), keyOn(context.date)];
  const found = [always, today].find(name => existsSync(pathOf(name)));
  let tokens = found === undefined ? null : await openCached(pathOf(found), context.progress);
  if (tokens === null) {
    const call = { ...options, date: context.date, signal: context.signal };
    const encode = encoder(worker, index, call, context.progress);
    const named = (notes: TokenNotes) => pathOf(notes.readsDate ? today : always);
    tokens = await TokenFile.open(await encodeToFile(index, config, encode, named));
  }
  const key = tokens.notes.readsDate ? today : always;
  try {
    for (const warning of tokens.notes.warnings)
      context.progress.say(`warning: ${warningText(warning, await placeOf(index, warning))}`);
    for (const refusal of await refusals(config, index, tokens.notes)) context.refuse(refusal);
  } catch (error) {
    await tokens.close();
    throw error;
  }
  return { key, tokens };
}

/** Null where it is damaged, or of an earlier version: it is made again. */
async function openCached(path: string, progress: Progress): Promise<TokenFile | null> {
  touch(path);
  try {
    return await TokenFile.open(path);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    progress.say(`${error.message}: it is made again`);
    rmSync(path, { force: true });
    return null;
  }
}

/** Gathers what is wrong with examples, to throw it with their lines. */
function encoder(
  worker: Worker,
  index: ExampleIndex,
  options: Parameters<Worker['encode']>[1],
  progress: Progress,
): Encode {
  const problems: LineProblem[] = [];
  let done = 0;
  return async examples => {
    const encoded = await worker.encode(examples, options).catch(async (error: unknown) => {
      problems.push(...(await problemsOf(index, done, error)));
      return { sequences: examples.map(() => noTokens), warnings: [], stopIds: [], readsDate: false };
    });
    done += examples.length;
    progress.update('encode', done, index.count, 0);
    if (problems.length >= listedLines || (problems.length > 0 && done === index.count))
      throw lineErrors(index.source, problems);
    return encoded;
  };
}

const noTokens = { ids: new Int32Array(), promptLength: 0, learned: new Uint8Array() };

/** What the worker says of each bad example; anything else is thrown on. */
async function problemsOf(index: ExampleIndex, start: number, error: unknown): Promise<LineProblem[]> {
  const found = error instanceof WorkerError && error.code === 'BAD_PARAMS' ? error.data?.problems : null;
  if (!Array.isArray(found)) throw error;
  const problems: LineProblem[] = [];
  for (const { index: place, message } of found as { index: number; message: string }[])
    problems.push({ line: await lineOfRow(index, start + place), message });
  return problems;
}

async function placeOf(index: ExampleIndex, { firstRow }: { firstRow: number }): Promise<string> {
  return `line ${await lineOfRow(index, firstRow)} of ${basename(index.source)}`;
}

/** Warnings of which only a few may be: what is trained on is not what the file says. */
const losses = ['answer_without_opening', 'template_ignores_tools', 'template_rewrites_completion'];

async function refusals(
  { max_rewritten_fraction, split_special_tokens, as_chat }: RunConfig,
  index: ExampleIndex,
  { warnings }: TokenNotes,
): Promise<DataError[]> {
  const found: DataError[] = [];
  for (const warning of warnings) {
    const share = warning.count / index.count;
    if (losses.includes(warning.code) && share > max_rewritten_fraction) {
      found.push(
        new DataError(`${index.source}: ${warning.count} of ${index.count} examples have ${warning.code}`, {
          fix:
            'change the answers or the template (chat_template_path, chat_template_kwargs), or allow it with ' +
            `max_rewritten_fraction: ${Math.ceil(1000 * share) / 1000}`,
        }),
      );
    }
    const isText = !as_chat && index.shape.includes('text');
    if (warning.code === 'special_tokens_split' && isText && split_special_tokens === null && share > 0.5) {
      found.push(
        new DataError(
          `${index.source}: ${warning.count} of ${index.count} texts hold names of control tokens, as a template written by hand has them ` +
            `(first in ${await placeOf(index, warning)})`,
          {
            fix: 'set split_special_tokens: false if they are control tokens, true if they are words',
          },
        ),
      );
    }
  }
  return found;
}
