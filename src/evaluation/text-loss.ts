/**
 * Cross-entropy of documents that have nothing to do with the task: what a language model loses of language itself. Far less noisy than right and
 * wrong answers, since every document is measured before and after.
 */
import type { RunConfig } from '../config/schema.ts';
import { DataError, type LineProblem, lineErrors } from '../data/data-error.ts';
import { toJson } from '../data/json.ts';
import { readRecords } from '../data/json-lines.ts';
import { seekableFile } from '../data/open-file.ts';
import { ColumnError, type DataRecord, readColumn } from '../data/template.ts';
import { sha256OfText } from '../files/digest.ts';
import type { TextLoss } from '../run/records.ts';
import type { Worker } from '../worker/worker.ts';
import { logprobsOf, sumBetween } from './logprobs.ts';
import { chooseByHash } from './read-set.ts';
import type { Tally } from './tally.ts';

/** The beginning of a document as ids; `bytes`: of its text in UTF-8. */
export type TextDocument = { readonly id: string; readonly ids: Int32Array; readonly bytes: number };

type TextSettings = RunConfig['text_loss'];
type Surroundings = { readonly cacheDirectory: string; readonly maxPositions: number | null };

/** None where no file is named. Throws `DataError`. */
export async function readDocuments(
  worker: Worker,
  settings: TextSettings,
  { cacheDirectory, maxPositions }: Surroundings,
): Promise<TextDocument[]> {
  const texts = await readTexts(settings, cacheDirectory);
  if (texts.length === 0) return [];
  const most = Math.min(settings.max_tokens, maxPositions ?? Number.POSITIVE_INFINITY);
  const { sequences } = await worker.encode(texts.map(({ text }) => ({ prompt: text, completion: null })));
  const cut = sequences.map(({ ids }) => ids.slice(0, most));
  const whole = texts.map(({ text }) => text);
  const read = await worker.decode(cut);
  return texts.map(({ id }, i) => {
    const ids = cut[i] as Int32Array;
    const isCut = ids.length < (sequences[i]?.ids.length ?? 0);
    return { id, ids, bytes: Buffer.byteLength((isCut ? read[i] : whole[i]) ?? '') };
  });
}

/** −Σ log p of all tokens but the first of each document; null of none. */
export async function measureTextLoss(
  worker: Worker,
  documents: readonly TextDocument[],
  tally: Tally,
): Promise<TextLoss | null> {
  if (documents.length === 0) return null;
  const logprobs = await logprobsOf(
    worker,
    documents.map(({ ids }) => ids),
    tally,
  );
  return textLossOf(documents, logprobs);
}

/** The same from log-probabilities. `bitsPerByte` is over all bytes together. */
export function textLossOf(
  documents: readonly Pick<TextDocument, 'id' | 'bytes'>[],
  logprobs: readonly Float32Array[],
): TextLoss {
  const measured = documents.map(({ id, bytes }, i) => ({
    id,
    nll: -sumBetween(logprobs[i] as Float32Array, 1),
    bytes,
  }));
  const sum = (of: (document: (typeof measured)[number]) => number) =>
    measured.reduce((total, document) => total + of(document), 0);
  return { bitsPerByte: sum(({ nll }) => nll) / Math.LN2 / sum(({ bytes }) => bytes), documents: measured };
}

async function readTexts(
  { path, column, size }: TextSettings,
  cacheDirectory: string,
): Promise<{ id: string; text: string }[]> {
  if (path === null) return [];
  const found: { id: string; text: string }[] = [];
  const problems: LineProblem[] = [];
  for await (const placed of readRecords(await seekableFile(path, cacheDirectory))) {
    const text = 'record' in placed ? textIn(placed.record, column) : { message: placed.problem.message };
    if ('message' in text) problems.push({ line: placed.line.number, ...text });
    else found.push(text);
  }
  if (problems.length > 0)
    throw lineErrors(`text_loss: ${path}`, problems, 'say with text_loss.column where the texts are');
  if (found.length === 0) throw new DataError(`text_loss: ${path} is empty: there is nothing to read`);
  return chooseByHash(found, size);
}

function textIn(record: DataRecord, column: string): { id: string; text: string } | { message: string } {
  try {
    const text = readColumn(record, column);
    if (typeof text !== 'string' || text === '') return { message: `${column} is not a text` };
    return { id: sha256OfText(toJson(record, true)).slice(0, 16), text };
  } catch (error) {
    if (error instanceof ColumnError) return { message: error.message };
    throw error;
  }
}
