/**
 * lm-eval as a side process without weights: its tasks are requests of token ids, which the worker answers, and its own metrics score
 * the answers. Two calls of py_worker/lm_eval_side.py with files between them; nothing calls back.
 */
import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { TmsError, UsageError } from '../errors.ts';
import { type LazySide, lazySide } from '../python/lazy-side.ts';
import { PythonError } from '../python/side.ts';

/** lm-eval in a process of its own; `python`: as the worker's. */
export function lmEvalIn(python: string | null): LazySide {
  return lazySide('lm_eval_side.py', { python });
}

/** A task or group of lm-eval, and how it is asked. */
export type LmEvalSuite = {
  /** Of the evaluation set, for messages. */
  readonly name: string;
  readonly task: string;
  /** A folder of the user's tasks; null: those that come with lm-eval. */
  readonly folder: string | null;
  /** The first documents of each task; null: all. */
  readonly limit: number | null;
  readonly fewshot: number | null;
  /** As lm-eval writes it, such as `acc_norm` or `exact_match,strict-match`; null: the first that says how right a document is. */
  readonly metric: string | null;
  readonly isChat: boolean;
  readonly systemPrompt: string | null;
};

/** The model whose tokenizer is used, as the worker was told. */
export type LmEvalModel = {
  readonly model: string;
  readonly revision: string | null;
  readonly trustRemoteCode: boolean;
  readonly maxPositions: number | null;
};

const tokenIds = z.array(z.int()).transform(ids => Int32Array.from(ids));
const place = { task: z.string(), document: z.int() };
const scoredRequest = z.object({
  ids: tokenIds,
  /** Where what is scored begins. */
  start: z.int(),
  /** Whether the task asks if it is the likeliest continuation. */
  greedy: z.boolean(),
  ...z.object(place).partial().shape,
});
const generatedRequest = z.object({
  prompt: tokenIds,
  until: z.array(z.string()),
  maxNewTokens: z.int(),
  temperature: z.number(),
  topP: z.number(),
  topK: z.int(),
  ...place,
});
const request = z.union([scoredRequest, generatedRequest]);
/** What a model is asked. */
export type LmEvalRequest = z.infer<typeof request>;

/** To a scored request its sum in nats, and whether it is the likeliest continuation; to another one the ids that were sampled. */
export type LmEvalAnswer =
  | readonly [sum: number, isGreedy: boolean]
  | { readonly ids: readonly number[]; readonly isFinished: boolean };

const collected = z.object({
  /** What says how right a document is; null: the task has no share from 0 to 1 of each, and no questions here. */
  metric: z.string().nullable(),
  version: z.string(),
  tasks: z.record(z.string(), z.string()),
});
const question = z.object({ id: z.string(), prompt: z.string(), target: z.string(), ...place });
const verdict = z.object({ id: z.string(), score: z.number(), answer: z.string().nullable() });
const scored = z.object({ metrics: z.record(z.string(), z.number()) });

/** Everything that a task asks of a model. */
export type LmEvalTask = z.infer<typeof collected> & {
  readonly suite: LmEvalSuite;
  readonly model: LmEvalModel;
  readonly requests: readonly LmEvalRequest[];
  /** Of the requests. */
  readonly digest: string;
  readonly questions: readonly z.infer<typeof question>[];
};

/** Ask lm-eval what a task asks. Throws `UsageError` for a task that cannot be measured, `EnvironmentError` where lm-eval is missing. */
export function collectRequests(
  lmEval: LazySide,
  suite: LmEvalSuite,
  model: LmEvalModel,
): Promise<LmEvalTask> {
  return withFolder(async at => {
    const [requests, documents] = [at('requests.jsonl'), at('documents.jsonl')];
    const args = { suite: suiteArguments(suite), model: modelArguments(model), requests, documents };
    const found = await asked(suite, lmEval.call('collect', args, collected));
    const hash = createHash('sha256');
    const list = await readLines(requests, line => {
      hash.update(line);
      return request.parse(JSON.parse(line));
    });
    const questions = await readLines(documents, line => question.parse(JSON.parse(line)));
    return { ...found, suite, model, requests: list, digest: hash.digest('hex'), questions };
  });
}

/** What lm-eval makes of the answers, in the order of the requests: a score from 0 to 1 for each question, and its own numbers. */
export function scoreAnswers(
  lmEval: LazySide,
  { suite, model, metric }: LmEvalTask,
  answers: readonly LmEvalAnswer[],
  output: { readonly path: string; readonly name: string } | null,
): Promise<{ verdicts: z.infer<typeof verdict>[]; metrics: Record<string, number> }> {
  return withFolder(async at => {
    const [file, documents] = [at('answers.jsonl'), at('documents.jsonl')];
    writeFileSync(file, answers.map(answer => `${JSON.stringify(answer)}\n`).join(''));
    const what = { suite: suiteArguments(suite), model: modelArguments(model), metric };
    const args = { ...what, answers: file, documents, output };
    const { metrics } = await asked(suite, lmEval.call('score', args, scored));
    return { verdicts: await readLines(documents, line => verdict.parse(JSON.parse(line))), metrics };
  });
}

function suiteArguments({ task, folder, limit, fewshot, metric, isChat, systemPrompt }: LmEvalSuite): object {
  const asked = { limit, num_fewshot: fewshot, metric, chat: isChat, system: systemPrompt };
  return { task, include_path: folder, ...asked };
}

/** The worker is given a sequence with its last token, lm-eval's own model is not: so one position less is usable. */
function modelArguments({ model, revision, trustRemoteCode, maxPositions }: LmEvalModel): object {
  const max_length = maxPositions === null ? null : maxPositions - 1;
  return { model, revision, trust_remote_code: trustRemoteCode, max_length };
}

async function withFolder<T>(work: (at: (name: string) => string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'tms-lm-eval-'));
  try {
    return await work(name => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function readLines<T>(file: string, read: (line: string) => T): Promise<T[]> {
  const found: T[] = [];
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity }))
    found.push(read(line));
  return found;
}

async function asked<T>(suite: LmEvalSuite, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof PythonError ? problemOf(suite, error) : error;
  }
}

/** A failure of lm-eval as a sentence about the suite. */
function problemOf({ name, task, folder }: LmEvalSuite, cause: PythonError): TmsError {
  const what = `suite ${name}, lm_eval:${task}`;
  const { type, reason } = cause;
  switch (type) {
    case 'UnknownTaskError': {
      const places = folder === null ? 'lm-eval has no such task' : `${folder} has no such task`;
      const near = reason === '' ? 'lm_eval ls tasks lists them' : `did you mean lm_eval:${reason}?`;
      return new UsageError(`${what}: ${places}`, { fix: near, cause });
    }
    case 'NoDataError': {
      const fix = 'check the network or HF_HOME, or let dataset_path of the task name local files';
      return new UsageError(`${what}: its data cannot be loaded: ${reason}`, { fix, cause });
    }
    case 'NoMetricError':
      return new UsageError(`${what}: ${reason}`, { fix: 'choose one with metric, or another task', cause });
    case 'UnsupportedTaskError':
      return new UsageError(`${what}: ${reason}`, { fix: 'choose another task', cause });
    default:
      return new TmsError(`${what} failed in lm-eval: ${type}: ${reason}`, {
        fix: 'see the trace with --verbose; lm_eval --model hf --tasks … shows whether lm-eval itself can run it',
        cause,
      });
  }
}
