/** Evaluation sets with their prompts as token ids: read and encoded once for a run. */
import { basename } from 'node:path';
import { type LineProblem, lineErrors } from '../data/data-error.ts';
import { warningText } from '../data/token-notes.ts';
import { UsageError } from '../errors.ts';
import type { LazySide } from '../python/lazy-side.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Example, Worker } from '../worker/worker.ts';
import { WorkerError } from '../worker/worker-error.ts';
import type { LmEvalModel, LmEvalTask } from './lm-eval.ts';
import { prepareLmEval } from './lm-eval-set.ts';
import { type Choice, readChoices, readQuestions, type SetPlace, type SetSettings } from './read-set.ts';
import type { Question, Scorer } from './scorer.ts';
import { makeScorer } from './scorers.ts';

export type SetRole = 'target' | 'retention';

/** What every set has. */
export type AnySet = {
  readonly name: string;
  /** The file that it was read from. */
  readonly path: string;
  readonly role: SetRole;
  /** Temperatures at which it is answered, ascending. */
  readonly temperatures: readonly number[];
  readonly maxNewTokens: number;
  /** An answer ends before the first of these. */
  readonly stopTexts: readonly string[];
};

/** A set that is answered in words. Prompt i is question i. */
export type AnsweredSet = AnySet & {
  readonly kind: 'answered';
  readonly scorer: Scorer;
  readonly questions: readonly Question[];
  readonly prompts: readonly Int32Array[];
};

/** The ids of a prompt with one option behind it; `start` to before `end` is the option without what ends the sequence. */
export type EncodedOption = { readonly ids: Int32Array; readonly start: number; readonly end: number };

/** A set whose options are compared by log-likelihood. */
export type ChoiceSet = AnySet & {
  readonly kind: 'choice';
  readonly questions: readonly Choice[];
  readonly options: readonly (readonly EncodedOption[])[];
};

/** A set that lm-eval asks and scores; `scorer` says all that its scores depend on besides the questions. */
export type LmEvalSet = AnySet & {
  readonly kind: 'lm_eval';
  readonly questions: readonly Question[];
  readonly task: LmEvalTask;
  readonly lmEval: LazySide;
  /** Where lm-eval writes its own files, under the name of the model; null: nowhere. */
  readonly output: { readonly path: string; readonly name: string } | null;
};

export type PreparedSet = AnsweredSet | ChoiceSet | LmEvalSet;

export type LmEvalSetup = Pick<LmEvalSet, 'output'> & {
  readonly process: LazySide;
  readonly model: LmEvalModel;
};

/** How text becomes ids, and into which model. */
export type Encoding = {
  readonly model: ModelInfo;
  readonly chatTemplate: string | null;
  readonly templateOptions: Readonly<Record<string, string | boolean | null>>;
  readonly splitSpecialTokens: boolean;
  /** What the template takes for today. */
  readonly date: string;
  /** What asks the tasks of lm-eval, and the model whose tokenizer it uses. */
  readonly lmEval?: LmEvalSetup | undefined;
  /** The Python of scorers that ask one; null: what `tms setup` made. */
  readonly python: string | null;
  readonly signal?: AbortSignal | undefined;
};

export type SetRequest = SetPlace & {
  readonly set: SetSettings;
  readonly role: SetRole;
  readonly temperatures: readonly number[];
};

/** Read and encode one set; `notes` are sentences for a person, `stopIds` end answers under the template. Throws `DataError`, `UsageError`. */
export async function prepareSet(
  worker: Worker,
  request: SetRequest,
  encoding: Encoding,
): Promise<{ set: PreparedSet; notes: string[]; stopIds: readonly number[]; readsDate: boolean }> {
  if (request.set.lm_eval !== null) return prepareLmEval(request, commonOf(request), encoding);
  return request.set.scorer === 'multiple_choice'
    ? prepareChoices(worker, request, encoding)
    : prepareAnswered(worker, request, encoding);
}

async function prepareAnswered(worker: Worker, request: SetRequest, encoding: Encoding) {
  const { set } = request;
  const scorer = await makeScorer(set, encoding);
  const questions = await readQuestions(set, request, scorer.problemOf);
  const examples = questions.map(({ prompt, tools }) => ({
    prompt,
    completion: null,
    ...(tools && { tools }),
  }));
  const lines = questions.map(({ line }) => line);
  const { sequences, ...said } = await encode(worker, set, { examples, lines }, encoding);
  const prompts = sequences.map(({ ids }) => ids);
  refuseTooLong(set, { rows: prompts, lines, newTokens: set.max_new_tokens }, encoding.model);
  return { set: { ...commonOf(request), kind: 'answered' as const, scorer, questions, prompts }, ...said };
}

async function prepareChoices(worker: Worker, request: SetRequest, encoding: Encoding) {
  const { set } = request;
  const questions = await readChoices(set, request);
  const examples = questions.flatMap(question =>
    question.options.map((option, i) =>
      optionExample({ ...question, prompt: contextOf(question, i) }, option),
    ),
  );
  const lines = questions.flatMap(({ line, options }) => options.map(() => line));
  const { sequences, ...said } = await encode(worker, set, { examples, lines }, encoding);
  refuseTooLong(set, { rows: sequences.map(({ ids }) => ids), lines, newTokens: 0 }, encoding.model);
  const stops = [...encoding.model.eosTokenIds, ...said.stopIds];
  const encoded = sequences.map(({ ids, promptLength }) => {
    const end = stops.includes(ids.at(-1) ?? -1) ? ids.length - 1 : ids.length;
    return { ids, start: promptLength, end };
  });
  let place = 0;
  const options = questions.map(question => {
    place += question.options.length;
    return encoded.slice(place - question.options.length, place);
  });
  return { set: { ...commonOf(request), kind: 'choice' as const, questions, options }, ...said };
}

function commonOf({ set, role, temperatures }: SetRequest): AnySet {
  const { name, path, max_new_tokens, stop } = set;
  return { name, path, role, temperatures, maxNewTokens: max_new_tokens, stopTexts: stop };
}

/** What option `i` stands behind. */
function contextOf({ prompt, contexts }: Choice, i: number): Choice['prompt'] {
  const context = contexts?.[i];
  if (context === undefined) return prompt;
  if (typeof prompt === 'string') return context;
  return prompt.map((message, at) => (at === prompt.length - 1 ? { ...message, content: context } : message));
}

/** Behind a text prompt an option stands after its last white space, or after a space (as in lm-eval); in a chat it is the answer. */
function optionExample({ prompt, tools }: Choice, option: string): Example {
  if (typeof prompt !== 'string')
    return { prompt, completion: [{ role: 'assistant', content: option }], ...(tools && { tools }) };
  const asked = prompt.trimEnd();
  return { prompt: asked, completion: `${prompt.slice(asked.length) || ' '}${option}` };
}

/** `lines` are those of the file that the examples come from. */
type Placed = { readonly examples: readonly Example[]; readonly lines: readonly number[] };

async function encode(
  worker: Worker,
  { name, path }: SetSettings,
  { examples, lines }: Placed,
  encoding: Encoding,
) {
  const { chatTemplate, templateOptions, splitSpecialTokens, date, signal } = encoding;
  try {
    const options = { chatTemplate, templateOptions, splitSpecialTokens, date, ...(signal && { signal }) };
    const { sequences, warnings, ...said } = await worker.encode(examples, options);
    const notes = warnings.map(
      warning =>
        `evaluation set ${name}: ${warningText(warning, `line ${lines[warning.firstIndex]} of ${basename(path)}`)}`,
    );
    return { sequences, notes, ...said };
  } catch (cause) {
    if (!(cause instanceof WorkerError) || cause.code !== 'BAD_PARAMS') throw cause;
    const problems = cause.data?.problems;
    if (Array.isArray(problems)) throw lineErrors(placeOf(name, path), placedAt(lines, problems));
    throw new UsageError(`${placeOf(name, path)} cannot be encoded: ${cause.reason}`, { cause });
  }
}

type Found = { readonly index: number; readonly message: string };

/** Of several options of a question the first. */
function placedAt(lines: readonly number[], found: readonly Found[]): LineProblem[] {
  const problems = new Map<number, string>();
  for (const { index, message } of found) {
    const line = lines[index] ?? 0;
    if (!problems.has(line)) problems.set(line, message);
  }
  return [...problems].map(([line, message]) => ({ line, message }));
}

function placeOf(name: string, path: string): string {
  return `evaluation set ${name}: ${path}`;
}

type Asked = {
  readonly rows: readonly Int32Array[];
  readonly lines: readonly number[];
  readonly newTokens: number;
};

function refuseTooLong(
  { name, path }: SetSettings,
  { rows, lines, newTokens }: Asked,
  { maxPositions }: ModelInfo,
): void {
  if (maxPositions === null) return;
  const found = rows.flatMap(({ length }, index) => {
    const asked =
      newTokens > 0
        ? `a prompt of ${length} tokens and max_new_tokens ${newTokens}`
        : `a question of ${length} tokens`;
    const message = `${asked} do not fit the ${maxPositions} positions of the model`;
    return length + newTokens > maxPositions ? [{ index, message }] : [];
  });
  if (found.length === 0) return;
  const room = maxPositions - rows.reduce((most, { length }) => Math.max(most, length), 0);
  const fix =
    newTokens > 0 && room > 0
      ? `set max_new_tokens of ${name} to ${room}, or take these lines out`
      : 'take these lines out';
  throw lineErrors(placeOf(name, path), placedAt(lines, found), fix);
}
