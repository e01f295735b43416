/** Examples before the questions of tasks (few-shot), as lm-eval words them. */
import type { DataRecord } from '../data/template.ts';
import {
  type Asked,
  asQuestion,
  labelledOptions,
  letterPrompt,
  numberedOptions,
  subjectLine,
} from './options.ts';
import { type FewShot, lettered, letters, type Shot, textOf } from './task.ts';

/** Where ARC and MMLU are. */
export const arc = { path: 'allenai/ai2_arc', split: 'test' } as const;
/** All subjects in one. */
export const mmlu = { path: 'cais/mmlu', name: 'all', split: 'test' } as const;

/** As lm-eval's gsm8k. */
export const gsm8kShots = {
  hub: { path: 'openai/gsm8k', name: 'main', split: 'train' },
  file: 'gsm8k/train.jsonl',
  of: (record: DataRecord) => ({
    asked: `Question: ${textOf(record, 'question')}\nAnswer:`,
    answer: textOf(record, 'answer'),
  }),
} as const;

/** As lm-eval's minerva_math. */
export const mathShots = {
  hub: { path: 'DigitalLearningGmbH/MATH-lighteval', name: 'default', split: 'train' },
  file: 'math/train.jsonl',
  of: (record: DataRecord) => ({
    asked: `Problem:\n${textOf(record, 'problem')}\n\nSolution:`,
    answer: textOf(record, 'solution', 'answer'),
  }),
} as const;

/** `of` words an example. */
export const arcShots = (name: 'Challenge' | 'Easy', of: (asked: Asked) => Shot): FewShot => ({
  hub: { path: arc.path, name: `ARC-${name}`, split: 'train' },
  file: `arc/arc_${name.toLowerCase()}_train.jsonl`,
  of: record => of(labelledOptions(record)),
});
/** The first of the question’s own subject. */
export const mmluShots = (of: (asked: Asked, record: DataRecord) => Shot): FewShot => ({
  hub: { ...mmlu, split: 'dev' },
  file: 'mmlu/dev.jsonl',
  isGrouped: true,
  of: record => ({ ...of(numberedOptions(record), record), group: textOf(record, 'subject') }),
});
/** Its right option. */
export const optionShot = ({ question, options, right }: Asked): Shot => ({
  asked: asQuestion(question),
  answer: options[right] as string,
});
/** The letter of its right option. */
export const letterShot = ({ question, options, right }: Asked, record: DataRecord): Shot => ({
  head: subjectLine(record),
  asked: `${question.trim()}\n${lettered(options)}\nAnswer:`,
  answer: letters[right] as string,
});
/** A sentence that says the letter. */
export const statedShot = (asked: Asked): Shot => ({
  asked: letterPrompt(asked),
  answer: `The answer is ${letters[asked.right]}.`,
});
