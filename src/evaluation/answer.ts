/** Sampled answers, each a function of its prompt, its seed and the weights. */
import { fnv1a, type IdWords, keyedNumbers } from '../data/random.ts';
import type { Answer, Worker } from '../worker/worker.ts';
import type { Tally } from './tally.ts';

/** Temperatures differ in the seed when they differ by this much. */
const temperatureStep = 1e-3;

/** What gives answers; log-probabilities are always the worker's that trains. */
export type Asker = Pick<Worker, 'generate'>;

export type Asked = {
  readonly prompt: Int32Array;
  readonly seed: number;
  readonly maxNewTokens: number;
  /** The answer ends before the first of these. */
  readonly stopTexts?: readonly string[];
};
/** `stopIds`: where answers end. */
export type Sampling = {
  readonly temperature: number;
  readonly maxRows: number | null;
  readonly stopIds: readonly number[];
};

/**
 * The 32-bit seed of an answer. It does not depend on the step or the model: the same question is answered with the same random
 * numbers at every measurement, so that differences come from the weights. Answers to one question have another temperature or number.
 */
export function answerSeeds(
  seed: number,
  purpose: 'evaluation answer' | 'base sample' | 'own answer',
): (setName: string, id: string, temperatureOrNumber: number) => number {
  const numbers = keyedNumbers(seed, purpose);
  return (setName, id, temperatureOrNumber) =>
    numbers(wordsOf(id), fnv1a(setName), Math.round(temperatureOrNumber / temperatureStep))[0];
}

/** One answer to each, in order. Questions with the same length limit and stop texts share calls, whatever set they are of. */
export async function answerAll(
  sampler: Asker,
  asked: readonly Asked[],
  { temperature, maxRows, stopIds, tally }: Sampling & { readonly tally: Tally },
): Promise<Answer[]> {
  const answers: Answer[] = [];
  const limitsOf = ({ maxNewTokens, stopTexts }: Asked) => JSON.stringify({ maxNewTokens, stopTexts });
  for (const limits of new Set(asked.map(limitsOf))) {
    const places = [...asked.keys()].filter(place => limitsOf(asked[place] as Asked) === limits);
    const questions = places.map(place => asked[place] as Asked);
    const found = await sampler.generate(
      questions.map(({ prompt }) => prompt),
      {
        ...tally.next(),
        ...(maxRows !== null && { maxRows }),
        seeds: questions.map(({ seed }) => seed),
        ...(JSON.parse(limits) as Pick<Asked, 'maxNewTokens' | 'stopTexts'>),
        temperature,
        stopIds,
      },
    );
    found.forEach((answer, i) => {
      answers[places[i] as number] = answer;
    });
    tally.add(places.length, { generated: found.reduce((sum, { ids }) => sum + ids.length, 0) });
  }
  return answers;
}

/** The first 64 bits of a hexadecimal id. */
function wordsOf(id: string): IdWords {
  return [Number.parseInt(id.slice(0, 8), 16), Number.parseInt(id.slice(8, 16), 16)];
}
