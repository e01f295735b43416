/** Questions with options, as several tasks read and word them. */
import { ColumnError, type DataRecord } from '../data/template.ts';
import { lettered, placeOf, textOf, textsOf } from './task.ts';

/** The question of a row with its options and the place of the right one. */
export type Asked = {
  readonly question: string;
  readonly options: readonly string[];
  readonly right: number;
};

/** ARC and CommonsenseQA: `choices` has texts and labels, `answerKey` names a label. */
export function labelledOptions(record: DataRecord): Asked {
  const choices = record.choices as { readonly text?: unknown; readonly label?: unknown } | undefined;
  const options = textsOf(choices?.text, 'choices.text');
  const labels = textsOf(choices?.label, 'choices.label');
  const key = textOf(record, 'answerKey').trim();
  const right = labels.indexOf(key);
  if (right < 0)
    throw new ColumnError(`answerKey is ${JSON.stringify(key)}, not one of ${labels.join(', ')}`);
  return { question: textOf(record, 'question', 'question_stem'), options, right };
}

/** A list of options and the place of the right one. */
export function numberedOptions(record: DataRecord): Asked {
  const options = textsOf(record.choices ?? record.options, 'choices');
  return {
    question: textOf(record, 'question', 'question_stem'),
    options,
    right: placeOf(record.answer ?? record.label, options.length),
  };
}

/** The question with its options and what is to be said of them. */
export function letterPrompt({ question, options }: Asked): string {
  return (
    `${question.trim()}\n${lettered(options)}\n\n` +
    'Think about it, then end with "The answer is X.", where X is the letter of the right option.'
  );
}

/** As lm-eval asks where options are compared. */
export const asQuestion = (question: string) => `Question: ${question}\nAnswer:`;

/** As lm-eval begins a prompt of MMLU. */
export const subjectLine = (record: DataRecord) =>
  `The following are multiple choice questions (with answers) about ${textOf(record, 'subject').replaceAll('_', ' ')}.\n\n`;
