/** What lm-eval asks, answered by the worker's verbs. */
import { sha256OfText } from '../files/digest.ts';
import type { Row } from '../worker/tensors.ts';
import type { Worker } from '../worker/worker.ts';
import { type Asker, answerSeeds } from './answer.ts';
import type { LmEvalAnswer, LmEvalRequest } from './lm-eval.ts';
import { logprobsOf, sumBetween } from './logprobs.ts';
import type { Tally } from './tally.ts';

type Scored = Extract<LmEvalRequest, { ids: unknown }>;
type Generated = Extract<LmEvalRequest, { prompt: unknown }>;

export type LmEvalAnswering = {
  readonly sampler: Asker;
  /** Of the set: answers that are drawn depend on it. */
  readonly name: string;
  readonly seed: number;
  readonly maxRows: number | null;
  readonly stopIds: readonly number[];
  readonly vocabSize: number;
  readonly tally: Tally;
};

/** An answer to each request, in order. */
export async function answerRequests(
  worker: Worker,
  requests: readonly LmEvalRequest[],
  answering: LmEvalAnswering,
): Promise<LmEvalAnswer[]> {
  const answers: LmEvalAnswer[] = [];
  const places = (isScored: boolean) =>
    [...requests.keys()].filter(i => 'ids' in at(requests, i) === isScored);
  const scored = places(true);
  const sums = await scoreAll(
    worker,
    scored.map(i => at(requests, i) as Scored),
    answering,
  );
  for (const [k, i] of scored.entries()) answers[i] = at(sums, k);
  const generated = places(false);
  const said = await generateAll(
    generated.map(i => ({ ...(at(requests, i) as Generated), seed: seedOf(answering, i) })),
    answering,
  );
  for (const [k, i] of generated.entries()) answers[i] = at(said, k);
  return answers;
}

function seedOf({ name, seed }: LmEvalAnswering, place: number): number {
  return answerSeeds(seed, 'evaluation answer')(name, sha256OfText(String(place)), 0);
}

async function scoreAll(
  worker: Worker,
  requests: readonly Scored[],
  answering: LmEvalAnswering,
): Promise<(readonly [number, boolean])[]> {
  const logprobs = await logprobsOf(
    worker,
    requests.map(({ ids }) => ids),
    answering.tally,
    requests.map(({ start }) => start),
  );
  const known = requests.map(({ greedy, start }, i) =>
    greedy ? isLikeliest(at(logprobs, i).subarray(start), answering.vocabSize) : false,
  );
  const open = [...requests.keys()].filter(i => known[i] === null);
  const found = await generateAll(
    open.map(i => {
      const { ids, start } = at(requests, i);
      const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0 };
      return { ...greedy, prompt: ids.slice(0, start), until: [], maxNewTokens: ids.length - start };
    }),
    { ...answering, stopIds: [], isCounted: false }, // the requests are counted already
  );
  for (const [k, i] of open.entries()) {
    const { ids, start } = at(requests, i);
    known[i] = at(found, k).ids.join() === ids.slice(start).join();
  }
  return requests.map(({ start }, i) => [sumBetween(at(logprobs, i), start), known[i] ?? false]);
}

/** Whether each token is the likeliest one, as far as its own probability tells: above a half it is, below 1 / vocabulary it is not. */
function isLikeliest(logprobs: Float32Array, vocabSize: number): boolean | null {
  if (logprobs.every(value => value > -Math.LN2 + 1e-3)) return true;
  return logprobs.some(value => value < -Math.log(vocabSize) - 1e-3) ? false : null;
}

type Asked = Omit<Generated, 'task' | 'document' | 'prompt'> & {
  readonly prompt: Row;
  readonly seed: number;
};

/** Those that are sampled alike share calls. */
async function generateAll(
  asked: readonly Asked[],
  { sampler, maxRows, stopIds, tally, isCounted = true }: LmEvalAnswering & { readonly isCounted?: boolean },
): Promise<{ ids: number[]; isFinished: boolean }[]> {
  const answers: { ids: number[]; isFinished: boolean }[] = [];
  const wayOf = ({ maxNewTokens, temperature, topP, topK, until }: Asked) => ({
    ...{ maxNewTokens, temperature, topP, topK },
    stopTexts: until,
  });
  for (const way of new Set(asked.map(one => JSON.stringify(wayOf(one))))) {
    const places = [...asked.keys()].filter(i => JSON.stringify(wayOf(at(asked, i))) === way);
    const found = await sampler.generate(
      places.map(i => at(asked, i).prompt),
      {
        ...tally.next(),
        ...(JSON.parse(way) as ReturnType<typeof wayOf>),
        ...(maxRows !== null && { maxRows }),
        seeds: places.map(i => at(asked, i).seed),
        stopIds,
      },
    );
    for (const [k, i] of places.entries()) {
      const { ids, finishReason } = at(found, k);
      answers[i] = { ids: [...ids], isFinished: finishReason !== 'length' };
    }
    const generated = found.reduce((sum, { ids }) => sum + ids.length, 0);
    tally.add(isCounted ? places.length : 0, { generated });
  }
  return answers;
}

function at<T>(list: readonly T[], index: number): T {
  return list[index] as T;
}
