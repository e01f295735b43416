/** Prompts as a person writes them to answers as text. */
import { UsageError } from '../errors.ts';
import type { Answer, Example, FinishReason, Worker } from '../worker/worker.ts';
import { WorkerError } from '../worker/worker-error.ts';

export type AnswerOptions = {
  readonly isChat: boolean;
  readonly system: string | null;
  readonly temperature: number;
  readonly topP: number;
  readonly maxNewTokens: number;
  /** An answer ends before the first of these. */
  readonly stopTexts?: readonly string[];
  /** Of the first answer to each prompt; the next ones count up. */
  readonly seed: number;
  /** Answers to each prompt. */
  readonly number: number;
  readonly maxPositions: number | null;
  /** Where answers end besides at the template's end of turn. */
  readonly eosTokenIds: readonly number[];
  readonly signal?: AbortSignal;
};

export type PromptAnswer = {
  readonly prompt: string;
  readonly answer: string;
  readonly tokens: number;
  /** `length`: cut, at the limit or at the end of the model's positions. */
  readonly finishReason: FinishReason;
  readonly seed: number;
};

/** `number` answers to each prompt, in order. Throws `UsageError` for a prompt that fills the model. */
export async function answerPrompts(
  worker: Worker,
  prompts: readonly string[],
  options: AnswerOptions,
): Promise<PromptAnswer[]> {
  const nameOf = (i: number) => (prompts.length === 1 ? 'the prompt' : `prompt ${i + 1}`);
  const { sequences, stopIds } = await encodePrompts(worker, prompts, options).catch((cause: unknown) => {
    throw asProblemOf(nameOf, cause);
  });
  const asked = sequences.flatMap(({ ids }, i) => {
    const room = roomFor(nameOf(i), ids, options);
    return Array.from({ length: options.number }, (_, sample) => {
      const seed = (options.seed + sample) % 2 ** 32;
      return { prompt: prompts[i] ?? '', ids, seed, limit: Math.min(options.maxNewTokens, room) };
    });
  });
  const answers = await generateAll(worker, asked, {
    ...options,
    stopIds: [...new Set([...options.eosTokenIds, ...stopIds])],
  });
  const texts = await worker.decode(answers.map(({ said }) => said));
  return answers.map(({ ids, finishReason }, i) => {
    const { prompt, seed } = asked[i] as Asked;
    return { prompt, answer: texts[i] ?? '', tokens: ids.length, finishReason, seed };
  });
}

type Asked = {
  readonly prompt: string;
  readonly ids: Int32Array;
  readonly seed: number;
  readonly limit: number;
};

function encodePrompts(worker: Worker, prompts: readonly string[], options: AnswerOptions) {
  return worker.encode(
    prompts.map(prompt => exampleOf(prompt, options)),
    // A prompt without a template may be one written by hand.
    { splitSpecialTokens: options.isChat },
  );
}

/** What the worker says of the first bad prompt; anything else as it is. */
function asProblemOf(nameOf: (i: number) => string, cause: unknown): unknown {
  const found = cause instanceof WorkerError && cause.code === 'BAD_PARAMS' ? cause.data?.problems : null;
  const [problem] = (Array.isArray(found) ? found : []) as { index: number; message: string }[];
  if (problem === undefined) return cause;
  return new UsageError(`${nameOf(problem.index)} ${problem.message}`, { fix: 'shorten it', cause });
}

function exampleOf(prompt: string, { isChat, system }: AnswerOptions): Example {
  if (!isChat) return { prompt, completion: null };
  const before = system === null ? [] : [{ role: 'system', content: system }];
  return { prompt: [...before, { role: 'user', content: prompt }], completion: null };
}

function roomFor(name: string, ids: Int32Array, { maxPositions }: AnswerOptions): number {
  const room = (maxPositions ?? Infinity) - ids.length;
  if (room > 0) return room;
  throw new UsageError(`${name} has ${ids.length} tokens, and the model ${maxPositions} positions`, {
    fix: 'shorten it',
  });
}

/** Those with the same limit share a call. */
async function generateAll(
  worker: Worker,
  asked: readonly Asked[],
  options: AnswerOptions & { readonly stopIds: readonly number[] },
): Promise<Answer[]> {
  const { temperature, topP, stopIds, stopTexts = [], signal } = options;
  const answers: Answer[] = [];
  for (const maxNewTokens of new Set(asked.map(({ limit }) => limit))) {
    const places = [...asked.keys()].filter(place => asked[place]?.limit === maxNewTokens);
    const some = places.map(place => asked[place] as Asked);
    const found = await worker.generate(
      some.map(({ ids }) => ids),
      {
        maxNewTokens,
        temperature,
        topP,
        stopIds,
        stopTexts,
        seeds: some.map(({ seed }) => seed),
        ...(signal && { signal }),
      },
    );
    found.forEach((answer, i) => {
      answers[places[i] as number] = answer;
    });
  }
  return answers;
}
