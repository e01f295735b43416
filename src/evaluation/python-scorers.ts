/** Scorers that ask libraries of Python: values of MATH, and the rules of IFEval. */
import { z } from 'zod';
import { isSameText, mathAnswer, mathGold, mathVersion } from './math-answer.ts';
import { type Failed, pythonVerdicts, type VerdictItem, type VerdictOptions } from './python-verdicts.ts';
import type { Grade, Question, Scorer } from './scorer.ts';

type Python = Pick<VerdictOptions, 'python'>;

/** Equal in value to the gold answer (math_verify), whatever an answer is written like. */
export function mathScorer(python: Python): Scorer {
  return {
    name: 'math',
    version: mathVersion,
    key: `math ${mathVersion}`,
    problemOf: ({ gold }) =>
      gold === null || mathGold(gold) === null ? 'no answer in the gold solution' : null,
    grade: async (answered, signal) => {
      const pairs = answered.map(({ question, answer }) => ({
        said: mathAnswer(answer.text),
        wanted: mathGold(question.gold ?? '') ?? '',
      }));
      const isAsked = pairs.map(({ said, wanted }) => said !== null && !isSameText(said, wanted));
      const items = pairs.flatMap(({ said, wanted }, i): VerdictItem[] =>
        isAsked[i] ? [{ kind: 'math', answer: said, expected: wanted }] : [],
      );
      const verdicts = await pythonVerdicts(items, z.strictObject({ isRight: z.boolean() }), {
        ...python,
        signal,
      });
      let place = 0;
      return pairs.map(({ said }, i): Grade => {
        if (!isAsked[i]) return { score: Number(said !== null), extracted: said };
        const found = verdicts[place++] as Failed | { readonly isRight: boolean };
        return 'failed' in found
          ? { score: 0, extracted: said, note: found.failed }
          : { score: Number(found.isRight), extracted: said };
      });
    },
  };
}

/** The names of IFEval's rules. */
const ifevalRules: readonly string[] = [
  'change_case:capital_word_frequency',
  'change_case:english_capital',
  'change_case:english_lowercase',
  'combination:repeat_prompt',
  'combination:two_responses',
  'detectable_content:number_placeholders',
  'detectable_content:postscript',
  'detectable_format:constrained_response',
  'detectable_format:json_format',
  'detectable_format:multiple_sections',
  'detectable_format:number_bullet_lists',
  'detectable_format:number_highlighted_sections',
  'detectable_format:title',
  'keywords:existence',
  'keywords:forbidden_words',
  'keywords:frequency',
  'keywords:letter_frequency',
  'language:response_language',
  'length_constraints:nth_paragraph_first_word',
  'length_constraints:number_paragraphs',
  'length_constraints:number_sentences',
  'length_constraints:number_words',
  'punctuation:no_comma',
  'startend:end_checker',
  'startend:quotation',
];

/** Raise it when any answer could be scored differently. */
const ifevalVersion = 1;

const ifevalVerdict = z.strictObject({ strict: z.array(z.boolean()), loose: z.array(z.boolean()) });

/** Whether an answer follows all rules of its prompt, strictly; loosely and by rule beside it. */
export function ifevalScorer(python: Python): Scorer {
  return {
    name: 'ifeval',
    version: ifevalVersion,
    key: `ifeval ${ifevalVersion}`,
    problemOf: ifevalProblem,
    grade: async (answered, signal) => {
      const items = answered.map(
        ({ question: { record }, answer }): VerdictItem => ({
          kind: 'ifeval',
          prompt: typeof record.prompt === 'string' ? record.prompt : '',
          names: record.instruction_id_list,
          arguments: record.kwargs,
          text: answer.text,
        }),
      );
      const verdicts = await pythonVerdicts(items, ifevalVerdict, { ...python, signal });
      return verdicts.map((found): Grade => {
        if ('failed' in found) return { score: 0, extracted: null, note: found.failed };
        const { strict, loose } = found;
        const measures = {
          strict: strict.every(Boolean),
          loose: loose.every(Boolean),
          rules_strict: strict,
          rules_loose: loose,
        };
        return { score: Number(measures.strict), extracted: null, measures };
      });
    },
  };
}

function ifevalProblem({ record: { instruction_id_list: names, kwargs } }: Question): string | null {
  if (!Array.isArray(names) || names.length === 0) return 'no column instruction_id_list';
  if (!Array.isArray(kwargs) || kwargs.length !== names.length)
    return 'kwargs is not a list with an entry for each of instruction_id_list';
  const unknown = names.find(name => !ifevalRules.includes(String(name)));
  return unknown === undefined ? null : `unknown instruction ${JSON.stringify(unknown)}`;
}
