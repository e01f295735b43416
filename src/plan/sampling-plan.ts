/** How training prompts are answered: by the checkpoints of a harvest, and by the base for the control. */
import type { RunConfig } from '../config/schema.ts';
import type { DataFacts } from './plan.ts';
import { PlanError } from './plan-error.ts';

export type SamplingPlan = {
  readonly maxNewTokens: number;
  /** References that are longer than that, with their end: answers like them would have none. */
  readonly longerReferences: number;
  readonly temperature: number;
  readonly topP: number;
  readonly stop: readonly string[];
  /** Samples that may be tried in place of an unusable one. */
  readonly redraws: number;
};

type Facts = Pick<DataFacts, 'longestPrompt' | 'completionLengths'>;

/** Throws `PlanError` where an answer of the length asked for does not fit behind the longest prompt. */
export function samplingPlan(
  { tms, max_length }: RunConfig,
  { longestPrompt, completionLengths }: Facts,
): SamplingPlan {
  const end = tms.stop.length > 0 ? 1 : 0; // an answer that a stop text ends gets an end of its own
  const room = max_length - longestPrompt.tokens - end;
  const maxNewTokens = tms.max_new_tokens ?? room;
  if (room < 1 || maxNewTokens > room)
    throw new PlanError(
      `${tms.max_new_tokens === null ? 'an answer' : `tms.max_new_tokens: ${tms.max_new_tokens}`} does not fit: ${longestPrompt.place} ` +
        `has a prompt of ${longestPrompt.tokens} tokens, and max_length is ${max_length}`,
      {
        fix:
          room < 1
            ? 'raise max_length, or leave that example out'
            : `set tms.max_new_tokens to ${room} or less (null: ${room}), or max_length to ${max_length + maxNewTokens - room} or more`,
      },
    );
  let longerReferences = 0;
  for (const length of completionLengths) if (length > maxNewTokens) longerReferences++;
  return {
    maxNewTokens,
    longerReferences,
    temperature: tms.temperature,
    topP: tms.top_p,
    stop: tms.stop,
    redraws: tms.unfinished === 'redraw' ? tms.max_redraws : 0,
  };
}
