/** How training prompts are answered, by whichever model is asked. */

import { type IdWords, keyedNumbers } from '../data/random.ts';
import { type DataFacts, PlanError } from './plan.ts';

export type SamplingPlan = {
  readonly maxNewTokens: number;
  /** Gold answers that are longer than that, with their end: answers like them would have none. */
  readonly longerGold: number;
  readonly temperature: number;
  readonly topP: number;
  readonly stop: readonly string[];
  /** Samples that may be tried in place of an unusable one. */
  readonly redraws: number;
  /** What a harvest asks in place of the prompt, see `framedExample`; without it the prompt. */
  readonly frame?: string;
};

/** Keys of a block that say how its method samples. */
export type AnswerSettings = {
  readonly temperature: number;
  readonly top_p: number;
  readonly max_new_tokens: number | null;
  readonly stop: readonly string[];
  readonly unfinished?: 'gold' | 'redraw';
  readonly max_redraws?: number;
};

/** `block`: where the settings stand, for messages. */
type Facts = Pick<DataFacts, 'longestPrompt' | 'completionLengths'> & {
  readonly block: string;
  readonly maxLength: number;
};

/** Throws `PlanError` where an answer of the length asked for does not fit behind the longest prompt. */
export function samplingPlan(
  settings: AnswerSettings,
  { longestPrompt, completionLengths, block, maxLength }: Facts,
): SamplingPlan {
  const { temperature, top_p: topP, stop, max_new_tokens: asked } = settings;
  const end = stop.length > 0 ? 1 : 0; // an answer that a stop text ends gets an end of its own
  const room = maxLength - longestPrompt.tokens - end;
  const maxNewTokens = asked ?? room;
  if (room < 1 || maxNewTokens > room)
    throw tooLong(asked, { room, maxNewTokens, longestPrompt, block, maxLength });
  let longerGold = 0;
  for (const length of completionLengths) if (length > maxNewTokens) longerGold++;
  return {
    maxNewTokens,
    longerGold,
    temperature,
    topP,
    stop,
    redraws: settings.unfinished === 'redraw' ? (settings.max_redraws ?? 0) : 0,
  };
}

type Room = Pick<Facts, 'longestPrompt' | 'block' | 'maxLength'> & {
  readonly room: number;
  readonly maxNewTokens: number;
};

function tooLong(
  asked: number | null,
  { room, maxNewTokens, longestPrompt, block, maxLength }: Room,
): PlanError {
  const answer = asked === null ? 'an answer' : `${block}.max_new_tokens: ${asked}`;
  const { tokens, place } = longestPrompt;
  return new PlanError(
    `${answer} does not fit: ${place} has a prompt of ${tokens} tokens, and max_length is ${maxLength}`,
    {
      fix:
        room < 1
          ? 'raise max_length, or leave that example out'
          : `set ${block}.max_new_tokens to ${room} or less (null: ${room}), or max_length to ${maxLength + maxNewTokens - room} or more`,
    },
  );
}

// Seeds of sampled answers: functions of what is asked, not of when or beside what.

/**
 * The 32-bit seed of an answer, for a checkpoint named by its optimiser step: T=5 asks for the same answers as T=10 at the steps
 * that both have.
 */
export function samplingSeeds(
  seed: number,
): (checkpointStep: number, prompt: IdWords, sampleIndex: number) => number {
  const numbers = keyedNumbers(seed, 'sampled answer');
  return (checkpointStep, prompt, sampleIndex) => numbers(prompt, checkpointStep, sampleIndex)[0];
}

/** Sample index of attempt 0, 1, … at one of S answers: the next S are for the first redraw, so that no two collide. */
export function redrawIndex(sample: number, attempt: number, samplesPerPrompt: number): number {
  return sample + attempt * samplesPerPrompt;
}
