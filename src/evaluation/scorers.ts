/** The scorers that come with `tms`, and the way to those of the user. */

import type { DeepReadonly } from '../config/schema.ts';
import type { EvaluationSet } from '../config/set-settings.ts';
import { commandScorer } from './command-scorer.ts';
import { expressionIn, reaches } from './countdown.ts';
import { finalNumber, gsm8kVersion, sameFinalNumber } from './gsm8k.ts';
import { letterScorer } from './letter.ts';
import { moduleScorer } from './module-scorer.ts';
import { ifevalScorer, mathScorer } from './python-scorers.ts';
import { type Grade, type Question, type Scorer, scorerOf } from './scorer.ts';
import { firstWord, haveSameForm, hotpotForm, shortAnswer, triviaForm, wordOverlap } from './short-answer.ts';
import { callsIn, sameCalls } from './tool-calls.ts';

type ScorerSettings = Pick<DeepReadonly<EvaluationSet>, 'scorer' | 'command' | 'module' | 'scorer_inputs'>;

/**
 * The scorer of a set whose answers are generated; `python`: for those that ask a library of Python. Throws `UsageError` when a module of
 * the user's cannot be used.
 */
export async function makeScorer(
  set: ScorerSettings,
  { python }: { readonly python?: string | null | undefined } = {},
): Promise<Scorer> {
  switch (set.scorer) {
    case 'command':
      return commandScorer(set.command ?? [], { inputs: set.scorer_inputs });
    case 'module':
      return moduleScorer(set.module ?? '', set.scorer_inputs);
    case 'math':
      return mathScorer({ python: python ?? undefined });
    case 'ifeval':
      return ifevalScorer({ python: python ?? undefined });
    case 'multiple_choice':
      throw new Error('multiple choice has no answers to score');
    default:
      return builtIns[set.scorer];
  }
}

const noGold = ({ gold }: Question) => (gold === null ? 'no gold answer to compare with' : null);

/** The whole answer, white space around it aside; an unfinished answer is wrong. */
const exactMatch = scorerOf({
  name: 'exact_match',
  version: 1,
  problemOf: noGold,
  judge: ({ gold }, { text, isFinished }) => verdict(isFinished && text.trim() === gold?.trim(), text.trim()),
});

/** The final number; an unfinished answer counts as it stands. */
const gsm8k = scorerOf({
  name: 'gsm8k',
  version: gsm8kVersion,
  problemOf: ({ gold }) =>
    gold === null || finalNumber(gold) === null ? 'no number in the gold answer' : null,
  judge: ({ gold }, { text }) => verdict(sameFinalNumber(text, gold ?? ''), finalNumber(text)),
});

/** The expression reaches the target with exactly the numbers that the row names. */
const countdown = scorerOf({
  name: 'countdown',
  version: 1,
  problemOf: ({ record: { nums, numbers = nums, target } }) =>
    Array.isArray(numbers) && numbers.every(Number.isSafeInteger) && Number.isSafeInteger(target)
      ? null
      : 'no columns numbers, a list of whole numbers, and target, a whole number',
  judge: ({ record: { nums, numbers = nums, target } }, { text }) =>
    verdict(reaches(text, numbers as number[], target as number), expressionIn(text)?.expression ?? null),
});

/** Exact match of the official script; F1 beside it. */
const hotpotqa = scorerOf({
  name: 'hotpotqa',
  version: 2,
  problemOf: noGold,
  judge: ({ gold }, { text }) => {
    const said = shortAnswer(text);
    const isSame = haveSameForm(hotpotForm, said, gold ?? '');
    return { ...verdict(isSame, said), measures: { f1: wordOverlap(said, gold ?? '') } };
  },
});

/** Any of the aliases, or the gold answer, in the official script's form. */
const triviaqa = scorerOf({
  name: 'triviaqa',
  version: 2,
  problemOf: noGold,
  judge: ({ gold, record: { aliases } }, { text }) => {
    const said = shortAnswer(text);
    const right = [gold ?? '', ...(Array.isArray(aliases) ? aliases.map(String) : [])];
    return verdict(
      right.some(name => haveSameForm(triviaForm, said, name)),
      said,
    );
  },
});

const lambada = scorerOf({
  name: 'lambada',
  version: 1,
  problemOf: noGold,
  judge: ({ gold }, { text }) => verdict(firstWord(text) === firstWord(gold ?? ''), firstWord(text)),
});

const toolalpaca = scorerOf({
  name: 'toolalpaca',
  version: 1,
  problemOf: ({ record: { calls } }) => (Array.isArray(calls) ? null : 'no column calls'),
  judge: ({ record: { calls } }, { text }) =>
    verdict(sameCalls(text, calls as Parameters<typeof sameCalls>[1]), JSON.stringify(callsIn(text))),
});

const builtIns = {
  countdown,
  exact_match: exactMatch,
  gsm8k,
  hotpotqa,
  lambada,
  letter: scorerOf(letterScorer),
  toolalpaca,
  triviaqa,
} as const;

function verdict(isCorrect: boolean, extracted: string | number | null): Grade {
  return { score: Number(isCorrect), extracted: extracted === null ? null : String(extracted) };
}
