/** The prompts on which the base is sampled for KL: held-out ones of the target, and some of every retention set. */
import type { ModelInfo } from '../worker/protocol.ts';
import { answerSeeds } from './answer.ts';
import { chooseByHash } from './choose.ts';
import type { DivergenceExample } from './divergence.ts';
import { type KlPrompt, maxSampleTokens } from './kl.ts';
import type { PreparedSet } from './sets.ts';

export type KlPromptOptions = {
  readonly seed: number;
  /** Prompts of the target, and of each retention set. */
  readonly size: number;
  readonly model: Pick<ModelInfo, 'maxPositions'>;
  readonly heldOut: readonly DivergenceExample[];
};

/** `limit`: new tokens that the prompt's own set allows. */
type Candidate = Pick<KlPrompt, 'id' | 'prompt'> & {
  readonly limit: number;
  readonly stopTexts: readonly string[];
};
type Group = Pick<KlPrompt, 'role' | 'set'> & { readonly candidates: readonly Candidate[] };

/** Nothing where `size` is 0; `notes` say where answers are compared in part. */
export function klPrompts(
  sets: readonly PreparedSet[],
  options: KlPromptOptions,
): { prompts: KlPrompt[]; notes: string[] } {
  const target: Group = {
    role: 'target',
    set: 'held-out',
    candidates: options.heldOut.map(({ id, ids, promptLength }) => candidate(id, ids.slice(0, promptLength))),
  };
  const retained = sets
    .filter(({ role }) => role === 'retention')
    .map((set): Group => ({ role: 'retention', set: set.name, candidates: candidatesOf(set) }));
  const found = [target, ...retained].map(group => promptsOf(group, options));
  return { prompts: found.flatMap(({ prompts }) => prompts), notes: found.flatMap(({ notes }) => notes) };
}

function promptsOf(
  { role, set, candidates }: Group,
  { seed, size, model: { maxPositions } }: KlPromptOptions,
): { prompts: KlPrompt[]; notes: string[] } {
  const seedOf = answerSeeds(seed, 'base sample');
  const chosen = chooseByHash(candidates, size);
  const longest = chosen.reduce((most, { prompt }) => Math.max(most, prompt.length), 0);
  // At least 1: whatever is measured has a token behind its prompt.
  const room = (maxPositions ?? Number.POSITIVE_INFINITY) - longest;
  const wanted = Math.min(maxSampleTokens, ...chosen.map(({ limit }) => limit));
  const maxNewTokens = Math.min(wanted, room);
  const notes =
    chosen.length > 0 && room < wanted
      ? [
          `KL on ${set}: the base's answers are compared up to ${room} tokens, not ${wanted}, because a prompt has ${longest} of the ` +
            `${maxPositions} positions of the model`,
        ]
      : [];
  const prompts = chosen.map(({ id, prompt, stopTexts }) => ({
    id,
    role,
    set,
    prompt,
    stopTexts,
    seed: seedOf(`${role} ${set}`, id, 1),
    maxNewTokens,
  }));
  return { prompts, notes };
}

function candidatesOf(set: PreparedSet): Candidate[] {
  if (set.kind === 'answered')
    return set.questions.map(({ id }, i) => ({
      id,
      prompt: set.prompts[i] as Int32Array,
      limit: set.maxNewTokens,
      stopTexts: set.stopTexts,
    }));
  return set.questions.map(({ id }, i) => {
    const [first] = set.options[i] ?? [];
    return candidate(id, first?.ids.slice(0, first.start) ?? new Int32Array());
  });
}

function candidate(id: string, prompt: Int32Array): Candidate {
  return { id, prompt, limit: maxSampleTokens, stopTexts: [] };
}
