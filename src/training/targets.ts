/** What a training learns from: token ids and weights for every visit of a prompt. */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readTextLines } from '../data/json-lines.ts';
import { TokenFile, type TokenRow } from '../data/token-file.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import { LineWriter } from '../files/line-writer.ts';
import type { Visit } from '../plan/training-plan.ts';
import { type VisitRecord, visitRecord } from '../run/records.ts';
import { completionOnly, type TrainingSequence } from '../worker/worker.ts';
import type { Policy } from './policy.ts';
import type { Run, Sequences } from './run.ts';
/** Sequences of one optimiser step. `metrics`: numbers for the step's line in metrics.jsonl. None: nothing is learned in it. */
export type StepTargets = {
  readonly sequences: readonly TrainingSequence[];
  readonly metrics?: Readonly<Record<string, number>>;
};

export type Targets = {
  /** A digest of all that decides what is learned. */
  readonly key: string;
  /** Asked while the weights before the step stand in the worker; else steps are sent ahead. */
  readonly isOnPolicy?: boolean;
  /** What the visits of optimiser step `step`, from 0, learn. `policy` may be asked where `isOnPolicy`. */
  readonly of: (visits: readonly Visit[], step: number, policy: Policy) => Promise<StepTargets>;
  readonly close?: () => Promise<void>;
};

/** The same sequence whenever a visit asks. */
export function fixedTargets(
  key: string,
  sequenceOf: (visit: Visit) => Promise<TrainingSequence>,
  close?: () => Promise<void>,
): Targets {
  const of: Targets['of'] = async visits => ({ sequences: await Promise.all(visits.map(sequenceOf)) });
  return { key, of, ...(close && { close }) };
}

/** Every visit learns the gold answer of its example, up to `max_length`: the token file of the data, as it is. */
export function goldTargets({ data, config }: Pick<Run, 'data' | 'config'>): Targets {
  return fixedTargets(data.digest, ({ example }) => goldSequence({ data, config }, example));
}

/** The same of one example. */
export async function goldSequence(
  run: Pick<Run, 'data' | 'config'>,
  example: number,
): Promise<TrainingSequence> {
  return completionOnly(await goldRow(run, example));
}

/** Prompt and gold answer of an example, as they are learned. */
export function goldRow(run: Pick<Run, 'data' | 'config'>, example: number): Promise<TokenRow> {
  return rowOf(run.data, run.config, example);
}

/** The same of an example of any data set. */
export function rowOf(
  { tokens, rows }: Sequences,
  { max_length }: Pick<Run['config'], 'max_length'>,
  example: number,
): Promise<TokenRow> {
  return tokens.read(rows[example] as number, max_length);
}

// Targets as files: `curriculum.jsonl` says of each visit what it learns and why, with the row of
// `targets/<training>.bin` that has the ids and marks. A training reads them from there; whoever writes the two
// writes targets.

const file = 'curriculum.jsonl';

/** Replace the lines of a training, or add them behind those of others; returns their digest. */
export async function writeVisits(
  run: Run,
  training: string,
  records: Iterable<VisitRecord>,
): Promise<string> {
  const path = run.directory.file(file);
  // Lines of others that are not what was written are dropped: they are written again in their turn.
  const noted = run.directory.ledger.ofFile(file);
  const isWhole = noted !== undefined && existsSync(path) && sha256OfFile(path) === noted.sha256;
  const hash = createHash('sha256');
  const output = new LineWriter(path);
  try {
    let isWritten = false;
    const writeOwn = () => {
      isWritten = true;
      for (const record of records) {
        const line = `${JSON.stringify(record)}\n`;
        hash.update(line);
        output.add(line);
      }
    };
    for await (const line of isWhole ? linesOf(path) : []) {
      if (!isOf(line, training)) output.add(`${line}\n`);
      else if (!isWritten) writeOwn();
    }
    if (!isWritten) writeOwn();
    output.finish();
  } catch (error) {
    output.abort();
    throw error;
  }
  const digest = hash.digest('hex');
  const { ledger } = run.directory;
  const sha256 = sha256OfFile(path);
  if (ledger.ofFile(file)?.sha256 !== sha256) ledger.append({ unit: 'mix', training, step: 0, file, sha256 });
  return digest;
}

type Written = {
  readonly training: string;
  /** The token file, below the run directory. */
  readonly tokens: string;
  /** Of the lines. */
  readonly digest: string;
  readonly visits: number;
};

/** Targets as they lie in the run directory; 4 bytes of memory a visit. */
export async function readTargets(run: Run, { training, tokens, digest, visits }: Written): Promise<Targets> {
  const rows = new Uint32Array(visits);
  const hash = createHash('sha256');
  let visit = 0;
  for await (const line of linesOf(run.directory.file(file))) {
    if (!isOf(line, training)) continue;
    hash.update(`${line}\n`);
    rows[visit++] = visitRecord.parse(JSON.parse(line)).row;
  }
  if (visit !== visits || hash.digest('hex') !== digest)
    throw new Error(`${file} changed while the targets of ${training} were written`);
  const path = run.directory.file(tokens);
  const opened = await TokenFile.open(path);
  const key = sha256OfText(`${digest} ${sha256OfFile(path)}`);
  const sequenceOf = async ({ visit }: { readonly visit: number }) =>
    completionOnly(await opened.read(rows[visit] as number));
  return fixedTargets(key, sequenceOf, () => opened.close());
}

async function* linesOf(path: string): AsyncGenerator<string> {
  if (existsSync(path)) yield* readTextLines(path);
}

/** `training` is the first key of a line. */
function isOf(line: string, training: string): boolean {
  return line.startsWith(`{"training":${JSON.stringify(training)},`);
}
