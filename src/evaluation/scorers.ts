/** The scorers that come with `tms`, and the way to those of the user. */
import type { EvaluationSet } from '../config/evaluation-settings.ts';
import type { DeepReadonly } from '../config/schema.ts';
import { commandScorer } from './command-scorer.ts';
import { finalNumber, gsm8kVersion, sameFinalNumber } from './gsm8k.ts';
import { moduleScorer } from './module-scorer.ts';
import type { AnswerText, Question, Scorer } from './scorer.ts';

/** The scorer of a set whose answers are generated. Throws `UsageError` when a module of the user's cannot be used. */
export async function makeScorer(
  set: Pick<DeepReadonly<EvaluationSet>, 'scorer' | 'command' | 'module' | 'scorer_inputs'>,
): Promise<Scorer> {
  switch (set.scorer) {
    case 'exact_match':
      return exactMatch;
    case 'gsm8k':
      return gsm8k;
    case 'command':
      return commandScorer(set.command ?? [], { inputs: set.scorer_inputs });
    case 'module':
      return moduleScorer(set.module ?? '', set.scorer_inputs);
    case 'multiple_choice':
      throw new Error('multiple choice has no answers to score');
  }
}

/** The whole answer, white space around it aside; an unfinished answer is wrong. */
const exactMatch = builtIn({
  name: 'exact_match',
  version: 1,
  problemOf: ({ gold }) => (gold === null ? 'no gold answer to compare with' : null),
  isRight: ({ gold }, { text, isFinished }) => isFinished && text.trim() === gold?.trim(),
});

/** The final number; an unfinished answer counts as it stands. */
const gsm8k = builtIn({
  name: 'gsm8k',
  version: gsm8kVersion,
  problemOf: ({ gold }) =>
    gold === null || finalNumber(gold) === null ? 'no number in the gold answer' : null,
  isRight: ({ gold }, { text }) => sameFinalNumber(text, gold ?? ''),
});

type BuiltIn = Pick<Scorer, 'name' | 'version' | 'problemOf'> & {
  readonly isRight: (question: Question, answer: AnswerText) => boolean;
};

function builtIn({ isRight: decide, ...rest }: BuiltIn): Scorer {
  return {
    ...rest,
    key: `${rest.name} ${rest.version}`,
    score: async answered => answered.map(({ question, answer }) => Number(decide(question, answer))),
  };
}
