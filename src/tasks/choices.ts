/** Tasks with options: compared by log-likelihood as lm-eval does, or asked for the letter. */
import { ColumnError, type DataRecord } from '../data/template.ts';
import {
  type Asked,
  asQuestion,
  labelledOptions,
  letterPrompt,
  numberedOptions,
  subjectLine,
} from './options.ts';
import { arc, arcShots, letterShot, mmlu, mmluShots, optionShot, statedShot } from './shots.ts';
import { lettered, letters, placeOf, type Task, type TaskRow, textOf, textsOf } from './task.ts';

const text = { scorer: 'multiple_choice', as_chat: false } as const;
const letter = { scorer: 'letter', max_new_tokens: 512 } as const;

function openBook(record: DataRecord): Asked {
  return record.answerKey === undefined ? numberedOptions(record) : labelledOptions(record);
}

function piqaOptions(record: DataRecord): Asked {
  const options =
    record.sol1 === undefined
      ? textsOf(record.choices, 'choices')
      : [textOf(record, 'sol1'), textOf(record, 'sol2')];
  return { question: textOf(record, 'goal'), options, right: placeOf(record.label, options.length) };
}

/** The options themselves behind the prompt. */
function compared(read: (record: DataRecord) => Asked, prompt: (question: string) => string): Task['rows'] {
  return record => {
    const { question, options, right } = read(record);
    return [{ prompt: prompt(question), choices: options, answer: right }];
  };
}

/** The letters of the options behind a prompt that lists them. */
function comparedLetters(read: (record: DataRecord) => Asked, before: string): Task['rows'] {
  return record => {
    const { question, options, right } = read(record);
    const prompt = `${before}${question.trim()}\n${lettered(options)}\nAnswer:`;
    return [{ prompt, choices: letters.slice(0, options.length), answer: right }];
  };
}

/** Asked in words for the letter; the options stand beside it for the scorer. */
function askedForLetter(read: (record: DataRecord) => Asked): Task['rows'] {
  return record => {
    const asked = read(record);
    const { options, right } = asked;
    return [{ prompt: letterPrompt(asked), answer: letters[right] as string, options }];
  };
}

/** What lm-eval does to WikiHow's marks. */
function withoutMarks(said: string): string {
  return said
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}

/** The first letter large, all others small, as Python's `capitalize`. */
function capitalized(said: string): string {
  const [first = '', ...rest] = said;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

function hellaswagRows(record: DataRecord): TaskRow[] {
  const context =
    record.ctx_a === undefined
      ? textOf(record, 'ctx')
      : `${textOf(record, 'activity_label')}: ${textOf(record, 'ctx_a')} ${capitalized(textOf(record, 'ctx_b'))}`;
  const endings = textsOf(record.endings, 'endings');
  return [
    {
      prompt: withoutMarks(context),
      choices: endings.map(withoutMarks),
      answer: placeOf(record.label, endings.length),
    },
  ];
}

/** Partial scoring: what stands behind the name is scored after each of the two. */
function winograndeRows(record: DataRecord): TaskRow[] {
  if (record.sentence === undefined) {
    const contexts = textsOf(record.options, 'options');
    const rest = textOf(record, 'continuation').trim();
    return [partial(contexts, rest, placeOf(record.label, contexts.length))];
  }
  const sentence = textOf(record, 'sentence');
  const gap = sentence.indexOf('_');
  if (gap < 0) throw new ColumnError('the sentence has no _ for the name');
  const contexts = [textOf(record, 'option1'), textOf(record, 'option2')].map(
    name => sentence.slice(0, gap) + name,
  );
  return [partial(contexts, sentence.slice(gap + 1).trim(), placeOf(record.answer, 2, 1))];
}

function partial(contexts: readonly string[], rest: string, answer: number): TaskRow {
  return { prompt: contexts[0] as string, contexts, choices: contexts.map(() => rest), answer };
}

const arcFiles = { challenge: 'arc/arc_challenge_test.jsonl', easy: 'arc/arc_easy_test.jsonl' } as const;

/** Tasks with options, by name. */
export const choiceTasks = {
  arc_challenge: {
    version: 1,
    title: 'Science questions that simple methods get wrong (ARC-C); options compared.',
    hub: { ...arc, name: 'ARC-Challenge' },
    file: arcFiles.challenge,
    settings: text,
    shots: arcShots('Challenge', optionShot),
    rows: compared(labelledOptions, asQuestion),
  },
  arc_challenge_generative: {
    version: 1,
    title: 'The same, asked in words for the letter.',
    hub: { ...arc, name: 'ARC-Challenge' },
    file: arcFiles.challenge,
    settings: letter,
    shots: arcShots('Challenge', statedShot),
    rows: askedForLetter(labelledOptions),
  },
  arc_easy: {
    version: 1,
    title: 'The easier science questions (ARC-E); options compared.',
    hub: { ...arc, name: 'ARC-Easy' },
    file: arcFiles.easy,
    settings: text,
    shots: arcShots('Easy', optionShot),
    rows: compared(labelledOptions, asQuestion),
  },
  arc_easy_generative: {
    version: 1,
    title: 'The same, asked in words for the letter.',
    hub: { ...arc, name: 'ARC-Easy' },
    file: arcFiles.easy,
    settings: letter,
    shots: arcShots('Easy', statedShot),
    rows: askedForLetter(labelledOptions),
  },
  commonsense_qa: {
    version: 1,
    title: 'Everyday knowledge with five options; letters compared.',
    hub: { path: 'tau/commonsense_qa', split: 'validation' },
    file: 'commonsenseqa/validation.jsonl',
    settings: text,
    rows: comparedLetters(labelledOptions, 'Question: '),
  },
  hellaswag: {
    version: 1,
    title: 'Which of four endings a text goes on with; endings compared.',
    hub: { path: 'Rowan/hellaswag', split: 'validation' },
    file: 'hellaswag/validation_1000.jsonl',
    settings: text,
    rows: hellaswagRows,
  },
  mmlu: {
    version: 1,
    title: 'Questions of 57 subjects; letters compared.',
    hub: mmlu,
    file: 'mmlu/test.jsonl',
    settings: text,
    shots: mmluShots(letterShot),
    rows: record => comparedLetters(numberedOptions, subjectLine(record))(record),
  },
  mmlu_generative: {
    version: 1,
    title: 'The same, asked in words for the letter.',
    hub: mmlu,
    file: 'mmlu/test.jsonl',
    settings: letter,
    shots: mmluShots(statedShot),
    rows: askedForLetter(numberedOptions),
  },
  openbookqa: {
    version: 1,
    title: 'Elementary science; options compared.',
    hub: { path: 'allenai/openbookqa', name: 'main', split: 'test' },
    file: 'openbookqa/test.jsonl',
    settings: text,
    rows: compared(openBook, question => question),
  },
  piqa: {
    version: 1,
    title: 'Which of two ways reaches a goal in the physical world; options compared.',
    hub: { path: 'baber/piqa', split: 'validation' },
    file: 'piqa/validation.jsonl',
    settings: text,
    rows: compared(piqaOptions, asQuestion),
  },
  safetybench: {
    version: 1,
    title: 'Seven kinds of safety (English); options compared.',
    hub: null,
    file: 'safetybench/test_en.jsonl',
    settings: text,
    rows: compared(numberedOptions, asQuestion),
  },
  safetybench_generative: {
    version: 1,
    title: 'The same, asked in words for the letter.',
    hub: null,
    file: 'safetybench/test_en.jsonl',
    settings: letter,
    rows: askedForLetter(numberedOptions),
  },
  winogrande: {
    version: 1,
    title: 'Whom a pronoun means; the rest of the sentence compared after each name.',
    hub: { path: 'allenai/winogrande', name: 'winogrande_xl', split: 'validation' },
    file: 'winogrande/validation.jsonl',
    settings: text,
    rows: winograndeRows,
  },
} as const satisfies Record<string, Task>;
