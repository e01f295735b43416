/** An evaluation set: what is asked, and how answers are scored. */
import { z } from 'zod';
import { formatNames } from '../files/data-format.ts';
import { fewShotTasks, taskNames } from '../tasks/index.ts';
import { is, isGiven, isNot, isNotGiven, isTrue, readWhen } from './condition.ts';
import { count, ours, positive, text } from './setting.ts';

/** Scorers of answers in words that come with `tms`. */
export const answerScorers = [
  'exact_match',
  'gsm8k',
  'math',
  'ifeval',
  'letter',
  'countdown',
  'hotpotqa',
  'triviaqa',
  'lambada',
  'toolalpaca',
] as const;

/** What each takes for an answer. */
export const scorerHelp =
  'exact_match: the whole answer, trimmed. gsm8k: the final number, behind ####, in \\boxed{}, behind “answer is” or the last. ' +
  'math: the final answer, by its value. letter: the option that it names. ifeval, countdown, hotpotqa, triviaqa, lambada, toolalpaca: as the task of that name (docs/tasks.md). ' +
  'command, module: your own.';

const ofNoLmEval = { '.lm_eval': isNotGiven };
const ofNoTask = { '.task': isNotGiven, ...ofNoLmEval };

/** What the answer of a multiple-choice question can be. */
export const answerReadings = ['index', 'index_from_1', 'label', 'option'] as const;

const column = text.nullable().default(null);
const columnOfNoTask = { '..task': isNotGiven, '..lm_eval': isNotGiven };
const columnOfChoices = { '..scorer': is('multiple_choice'), ...columnOfNoTask };
const ofAnswers = { '.scorer': isNot('multiple_choice'), ...ofNoLmEval };
const ofLmEval = { '.lm_eval': isGiven };
const ofFewShotTask = { '.task': is(...fewShotTasks) };

const setColumns = z
  .strictObject({
    prompt: readWhen(
      ours(
        column,
        'Column with the prompt, or a template such as "Question: {question}\\nAnswer:"; null: `prompt`.',
      ),
      columnOfNoTask,
    ),
    answer: readWhen(
      ours(
        column,
        'Column with the right answer, or a template; null: `answer`, else `completion`. Of multiple_choice see answer_is.',
      ),
      columnOfNoTask,
    ),
    choices: readWhen(
      ours(
        z
          .union([text, z.array(text).min(2)])
          .nullable()
          .default(null),
        'Column with the list of options, nested as in `choices.text`; or one column or template an option, as in ' +
          '[option1, option2]; null: `choices`.',
      ),
      columnOfChoices,
    ),
    labels: readWhen(
      ours(
        z
          .union([text, z.array(text).min(2)])
          .nullable()
          .default(null),
        'Column with the labels of the options, or the labels themselves, as in [A, B, C, D]; null: there are none.',
      ),
      columnOfChoices,
    ),
  })
  .prefault({});

/** The schema of one. */
export const evaluationSet = z.strictObject({
  name: ours(
    z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
    'Name in metrics and tables: small letters, digits, - and _.',
  ),
  task: readWhen(
    ours(
      z.enum(taskNames).nullable().default(null),
      'A benchmark by name: it says what is asked, how it is scored and how long an answer may be (docs/tasks.md). name, max_new_tokens, ' +
        'stop and as_chat may be said beside it. null: columns and scorer say it.',
    ),
    ofNoLmEval,
  ),
  path: ours(
    text,
    `File of the items: ${formatNames}; of a task also a folder of data sets that has its file.`,
  ),
  lm_eval: ours(
    text.nullable().default(null),
    'A task or group of lm-eval by its name, asked and scored by lm-eval itself (docs/evaluate.md): path is then a folder of your own ' +
      'tasks, or lm_eval for those that come with it. Needs `tms setup --with lm_eval`. null: the other keys say what is asked.',
  ),
  num_fewshot: readWhen(
    ours(
      count.nullable().default(null),
      'Examples before each question (few-shot): of a task the first ones of its training split, of lm_eval as its task chooses them. ' +
        'null: none, of lm_eval as its task says.',
    ),
    ofLmEval,
    ofFewShotTask,
  ),
  fewshot_path: readWhen(
    ours(
      text.nullable().default(null),
      'File of the examples; null: the training split on the hub or in the folder where the items are from.',
    ),
    { ...ofFewShotTask, '.num_fewshot': isGiven },
  ),
  metric: readWhen(
    ours(
      text.nullable().default(null),
      'lm_eval: what says whether a document is right, such as acc_norm or exact_match,strict-match; null: the first metric of the task ' +
        'that is a share from 0 to 1.',
    ),
    ofLmEval,
  ),
  scorer: readWhen(
    ours(
      z.enum([...answerScorers, 'multiple_choice', 'command', 'module']).default('exact_match'),
      `multiple_choice: the option with the highest log-likelihood. ${scorerHelp}`,
    ),
    ofNoTask,
  ),
  command: readWhen(
    ours(
      z.array(text).min(1).nullable().default(null),
      'scorer command: program and arguments; it reads one JSON line an answer and writes one score (0 to 1) a line.',
    ),
    { '.scorer': is('command') },
  ),
  module: readWhen(
    ours(
      text.nullable().default(null),
      'scorer module: a JavaScript file that exports `score(item, answer)`.',
    ),
    { '.scorer': is('module') },
  ),
  scorer_inputs: readWhen(
    ours(
      z.array(text).default([]),
      'Files and folders that the scorer reads besides what it imports; a change of them counts as another scorer.',
    ),
    { '.scorer': is('command', 'module') },
  ),
  columns: ours(setColumns, 'Which columns of the file are the prompt, the answer and the options.'),
  answer_is: readWhen(
    ours(
      z.enum(answerReadings).nullable().default(null),
      'What the answer is: index (from 0), index_from_1, label or option. null: by its type, an integer is an index from ' +
        '0, true and false are the option that says true or yes, false or no, a text is a label where there are labels, else an option; ' +
        'what could be two of them is refused.',
    ),
    { '.scorer': is('multiple_choice'), ...ofNoTask },
  ),
  as_chat: readWhen(
    ours(
      z.boolean().nullable().default(null),
      'Ask in the chat template; null: as the training data, but lm_eval without it, as its own command does.',
    ),
    { '.facts.isText': isTrue('items as text', 'the items of this set are messages already') },
  ),
  system_prompt: readWhen(
    ours(
      text.nullable().default(null),
      'System message before the prompt in chat form; null: system_prompt.',
    ),
    {
      '.facts.isChat': isTrue('as_chat: true or items that are messages', 'this set is asked as plain text'),
    },
  ),
  limit: ours(
    positive.nullable().default(null),
    'Items used, chosen by a hash of their content; of lm_eval the first ones of each task, as there; null: all.',
  ),
  max_new_tokens: readWhen(ours(positive.default(256), 'Longest generated answer in tokens.'), ofAnswers),
  stop: readWhen(
    ours(
      z.array(text).default([]),
      'Texts that end a generated answer: it ends before the first of them and counts as finished (lm-eval: until), such as ["\\n"] for a ' +
        'base model that goes on with the next question.',
    ),
    ofAnswers,
  ),
});
export type EvaluationSet = z.infer<typeof evaluationSet>;

/** Whether items that are texts are asked in the chat template; lm-eval's are only where the set itself says so. */
export function asksAsChat(
  { as_chat, lm_eval }: Readonly<Pick<EvaluationSet, 'as_chat' | 'lm_eval'>>,
  trainsOnChats: boolean,
): boolean {
  return as_chat ?? (lm_eval === null && trainsOnChats);
}
