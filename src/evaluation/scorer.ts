/** What says whether an answer is right. */
import type { Content } from '../data/example.ts';
import type { DataRecord } from '../data/template.ts';

/** What is asked, with its gold answer where it has one, and the line of the file as it stands. */
export type Question = {
  readonly id: string;
  /** From 1, in the file. */
  readonly line: number;
  readonly prompt: Content;
  /** JSON of the tools that a chat template is to name. */
  readonly tools?: string;
  readonly gold: string | null;
  /** The columns of the line; of a task, what it takes from them besides. */
  readonly record: DataRecord;
};

/** Text that a model wrote; `isFinished`: it ended by itself, not at the length limit. */
export type AnswerText = { readonly text: string; readonly isFinished: boolean };
export type AnsweredQuestion = { readonly question: Question; readonly answer: AnswerText };

/** How an answer was judged. */
export type Grade = {
  /** From 0 to 1. */
  readonly score: number;
  /** What was taken for the answer; null where nothing was found, or the scorer does not say. */
  readonly extracted: string | null;
  /** Further measures of the scorer's, from 0 to 1 or true and false, by name. */
  readonly measures?: Readonly<Record<string, number | boolean | readonly boolean[]>>;
  /** Why there is no verdict, where the answer counts as wrong for that. */
  readonly note?: string;
};

export type Scorer = {
  readonly name: string;
  readonly version: number;
  /** Differs whenever scores could: version, and for a scorer of the user's its file and arguments. */
  readonly key: string;
  /** Why a question cannot be scored, or null. */
  readonly problemOf: (question: Question) => string | null;
  /** One for each, in order. Throws `TmsError` where a scorer of the user's fails, else the signal's reason. */
  readonly grade: (answered: readonly AnsweredQuestion[], signal?: AbortSignal) => Promise<Grade[]>;
};

/** A function that judges one answer. */
export type Judge = Pick<Scorer, 'name' | 'version' | 'problemOf'> & {
  readonly judge: (question: Question, answer: AnswerText) => Grade;
};

/** The scorer that judges answer by answer. */
export function scorerOf({ judge, ...rest }: Judge): Scorer {
  return {
    ...rest,
    key: `${rest.name} ${rest.version}`,
    grade: async answered => answered.map(({ question, answer }) => judge(question, answer)),
  };
}

/** The scores alone. */
export async function scoresOf(
  scorer: Scorer,
  answered: readonly AnsweredQuestion[],
  signal?: AbortSignal,
): Promise<number[]> {
  return (await scorer.grade(answered, signal)).map(({ score }) => score);
}

/** From this score on an answer counts as right. */
const rightFrom = 0.5;

export function isRight(score: number): boolean {
  return score >= rightFrom;
}

/** Version of the choice by log-likelihood, see choices.ts. */
export const multipleChoiceVersion = 4;
