/** Score answers to training prompts with the scorers of evaluation sets, against the gold answers of the data. */
import type { answerScorers } from '../config/set-settings.ts';
import { TmsError } from '../errors.ts';
import { type AnswerText, type Question, type Scorer, scoresOf } from '../evaluation/scorer.ts';
import { makeScorer } from '../evaluation/scorers.ts';
import type { Run, TrainingQuestion } from './run.ts';

/** Keys of a block that name a scorer, as an evaluation set does. */
export type ScorerSettings = {
  readonly scorer: (typeof answerScorers)[number] | 'command' | 'module';
  readonly command: readonly string[] | null;
  readonly module: string | null;
  readonly scorer_inputs: readonly string[];
};

/** An answer to the prompt of a training example. */
export type ScoredAnswer = AnswerText & { readonly example: number };

export type Rewards = {
  /** Differs whenever scores could. */
  readonly key: string;
  /** From 0 to 1 for each, in order. Throws `TmsError` where a scorer of the user's fails. */
  readonly of: (answers: readonly ScoredAnswer[]) => Promise<number[]>;
};

/** Throws `UsageError` when a scorer of the user's cannot be used, or has nothing to compare an answer with. */
export async function rewardsOf({ data, signal, config }: Run, settings: ScorerSettings): Promise<Rewards> {
  const scorer = await makeScorer(settings, config.worker);
  return {
    key: scorer.key,
    of: async answers => {
      const asked = await Promise.all(answers.map(({ example }) => data.questionOf(example)));
      const questions = asked.map((question, i) => checked(scorer, question, answers[i]?.example ?? 0));
      return scoresOf(
        scorer,
        answers.map((answer, i) => ({ answer, question: questions[i] as Question })),
        signal,
      );
    },
  };
}

/** `line`: the number of the example, from 1. */
function checked(scorer: Scorer, asked: TrainingQuestion, example: number): Question {
  const question = { ...asked, line: example + 1 };
  const problem = scorer.problemOf(question);
  if (problem === null) return question;
  throw new TmsError(`training example ${asked.id}: ${problem}`, { fix: 'choose another scorer' });
}
