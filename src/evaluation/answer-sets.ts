/** The sets that are answered in words: all of them answered at each temperature, then scored. */
import type { SetRecord } from '../run/records.ts';
import type { Answer, Worker } from '../worker/worker.ts';
import { type Asker, answerAll, answerSeeds } from './answer.ts';
import { chunksOf } from './chunks.ts';
import { type AnswerText, isRight, scoresOf } from './scorer.ts';
import type { AnsweredSet } from './sets.ts';
import type { Tally } from './tally.ts';

/** Answers of one `decode`. */
const answersAtOnce = 256;

export type AnswerOptions = {
  /** What is asked; the worker only turns answers into text. */
  readonly sampler: Asker;
  readonly seed: number;
  readonly maxRows: number | null;
  readonly stopIds: readonly number[];
  readonly tally: Tally;
};

/**
 * A record of each set, in order. `accuracy`, `unfinished` and the items are of the lowest temperature, `sampledAccuracy` is of the
 * other one. Sets with the same temperature and length limit share batches.
 */
export async function answerSets(
  worker: Worker,
  sets: readonly AnsweredSet[],
  options: AnswerOptions,
): Promise<SetRecord[]> {
  const answers = sets.map(() => new Map<number, AnswerText[]>());
  for (const temperature of new Set(sets.flatMap(set => set.temperatures))) {
    const asking = [...sets.keys()].filter(i => sets[i]?.temperatures.includes(temperature));
    const texts = await answerInWords(
      worker,
      asking.map(i => sets[i] as AnsweredSet),
      { ...options, temperature },
    );
    asking.forEach((i, place) => {
      answers[i]?.set(temperature, texts[place] as AnswerText[]);
    });
  }
  const records: SetRecord[] = [];
  for (const [i, set] of sets.entries())
    records.push(await scoreSet(set, answers[i] as Map<number, AnswerText[]>, options.tally));
  return records;
}

/** The answers to each set. */
async function answerInWords(
  worker: Worker,
  sets: readonly AnsweredSet[],
  { sampler, seed, temperature, maxRows, stopIds, tally }: AnswerOptions & { readonly temperature: number },
): Promise<AnswerText[][]> {
  const seedOf = answerSeeds(seed, 'evaluation answer');
  const asked = sets.flatMap(({ name, questions, prompts, maxNewTokens, stopTexts }) =>
    questions.map(({ id }, i) => ({
      prompt: prompts[i] as Int32Array,
      seed: seedOf(name, id, temperature),
      maxNewTokens,
      stopTexts,
    })),
  );
  const answers = await answerAll(sampler, asked, { temperature, maxRows, stopIds, tally });
  const texts = await toText(worker, answers, tally);
  let place = 0;
  return sets.map(({ questions }) => {
    place += questions.length;
    return texts.slice(place - questions.length, place);
  });
}

async function toText(worker: Worker, answers: readonly Answer[], tally: Tally): Promise<AnswerText[]> {
  const found: AnswerText[] = [];
  for (const part of chunksOf(answers, answersAtOnce)) {
    const texts = await worker.decode(
      part.map(({ said }) => said),
      tally.next(),
    );
    found.push(
      ...part.map(({ finishReason }, i) => ({ text: texts[i] ?? '', isFinished: finishReason !== 'length' })),
    );
  }
  return found;
}

async function scoreSet(
  set: AnsweredSet,
  answers: ReadonlyMap<number, readonly AnswerText[]>,
  { signal }: Tally,
): Promise<SetRecord> {
  const verdictsAt = async (temperature: number | undefined) => {
    const given = temperature === undefined ? undefined : answers.get(temperature);
    if (!given) return null;
    const answered = given.map((answer, i) => ({
      question: set.questions[i] as (typeof set.questions)[number],
      answer,
    }));
    return (await scoresOf(set.scorer, answered, signal)).map(isRight);
  };
  const [lowest = 0, other] = set.temperatures;
  const given = answers.get(lowest) ?? [];
  const verdicts = (await verdictsAt(lowest)) ?? [];
  const sampled = await verdictsAt(other);
  return {
    name: set.name,
    role: set.role,
    scorer: set.scorer.name,
    scorerVersion: set.scorer.version,
    accuracy: shareOf(verdicts),
    sampledAccuracy: sampled && shareOf(sampled),
    unfinished: given.filter(({ isFinished }) => !isFinished).length,
    items: set.questions.map(({ id }, i) => ({
      id,
      isCorrect: verdicts[i] ?? false,
      answer: given[i]?.text ?? null,
    })),
  };
}

/** The share of `true`. */
export function shareOf(verdicts: readonly boolean[]): number {
  return verdicts.filter(Boolean).length / verdicts.length;
}
