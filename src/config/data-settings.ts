import { z } from 'zod';
import { formatNames, isDataset } from '../files/data-format.ts';
import { above, includes, is, isGiven, isNotGiven, isTrue, readWhen, type ValueTest } from './condition.ts';
import { affects, fraction, guessed, ours, positive, seed, text, trl } from './setting.ts';

const column = text.nullable().default(null);
const someChat = {
  'facts.isChat': isTrue(
    'data in chat form',
    'neither the training data nor an evaluation set is in chat form',
  ),
};
const trainingChat = {
  'facts.trainsOnChats': isTrue('training data in chat form', 'the training data are not in chat form'),
};
const conversations = {
  'columns.prompt': isNotGiven,
  'columns.completion': isNotGiven,
  as_chat: is(false),
  'facts.isConversation': isTrue('data with `messages`', 'the training data have no `messages`'),
};
const textData = {
  'columns.messages': isNotGiven,
  'facts.isText': isTrue('data as text', 'the training data are messages already'),
};

const isDatasetName: ValueTest = {
  holds: value => typeof value === 'string' && isDataset(value),
  wanted: key => `a hub id or a directory as ${key}`,
  because: (key, value) => (value === null ? `${key} is not given` : `${key} is a file (${value})`),
};
const revision = text.default('main');

/** How columns of a file become a prompt and a completion; `messages`: the key of that column, as conditions name it. */
const columnSettings = (messages: string) => {
  const withoutMessages = { [messages]: isNotGiven };
  return z
    .strictObject({
      prompt: readWhen(
        ours(
          column,
          'Column with the prompt, or a template such as "Question: {question}\\nAnswer:", filled with what the file says, digit by digit; ' +
            'a null is refused, but left out at {question?}. null: `prompt`.',
        ),
        withoutMessages,
      ),
      completion: readWhen(
        ours(column, 'Column with the gold answer, or a template; null: `completion`.'),
        withoutMessages,
      ),
      messages: ours(
        column,
        'Column with a list of chat messages whose last one is the answer; null: `messages`.',
      ),
      tools: readWhen(
        ours(
          column,
          'Column with the list of tools that the chat template is to name, as a list or as JSON of one; null: `tools`, where there is one.',
        ),
        trainingChat,
      ),
    })
    .prefault({});
};

/** A further file of examples, in the block of a method; in all else it is read as the training file is. */
export const datasetSettings = {
  dataset_name: ours(
    text.nullable().default(null),
    `Examples: a file (${formatNames}), a directory of such files, or a hub id.`,
  ),
  dataset_config: readWhen(
    ours(
      text.nullable().default(null),
      'Configuration of that data set; null: the only one, or the default.',
    ),
    { '.dataset_name': isDatasetName },
  ),
  dataset_split: readWhen(ours(text.default('train'), 'Split of that data set.'), {
    '.dataset_name': isDatasetName,
  }),
  dataset_revision: readWhen(ours(revision, 'Branch, tag or commit of that data set on the hub.'), {
    '.dataset_name': isDatasetName,
  }),
  columns: ours(columnSettings('.messages'), 'Which columns of the file are the prompt and the completion.'),
  max_samples: ours(positive.nullable().default(null), 'Use only the first so many examples; null: all.'),
};

/** Where examples come from, how they become prompts and completions, and which are held out. */
export const dataSettings = {
  dataset_name: trl(
    text,
    `Training data: a file (${formatNames}), a directory of such files in the layout of the hub, or a hub id such as openai/gsm8k (needs \`tms setup --with datasets\`).`,
  ),
  dataset_config: readWhen(
    trl(
      text.nullable().default(null),
      'Configuration of dataset_name on the hub; null: the only one, or the default.',
    ),
    { dataset_name: isDatasetName },
  ),
  dataset_train_split: readWhen(
    trl(text.default('train'), 'Split that is trained on; slices such as train[:1000] are understood.'),
    { dataset_name: isDatasetName },
  ),
  dataset_test_split: readWhen(
    ours(
      text.nullable().default(null),
      'Split with the test examples, of dataset_test_name where that is a data set, else of dataset_name; null: test of the first, and of the second ' +
        'none: test_size is held out (TRL: test).',
    ),
    { dataset_name: isDatasetName, dataset_test_name: isNotGiven },
    { dataset_test_name: isDatasetName },
  ),
  dataset_revision: readWhen(
    ours(
      revision,
      'Branch, tag or commit of dataset_name on the hub. The commit it stands for is kept in run.json, and a resume takes that one.',
    ),
    { dataset_name: isDatasetName },
  ),
  dataset_streaming: readWhen(
    trl(
      z.boolean().default(false),
      'Read only the first max_train_samples rows of the training split from the hub, without fetching the rest; what test_size holds out is of these.',
    ),
    { dataset_name: isDatasetName, max_train_samples: isGiven },
  ),
  dataset_test_name: ours(
    text.nullable().default(null),
    'Test examples of the same task: a file, a directory or a hub id (main, its default configuration); null: dataset_test_split, or test_size of the training data.',
  ),
  test_size: readWhen(
    ours(
      z.number().min(0).default(0.1),
      'Examples held out when there is no dataset_test_name and no dataset_test_split: a share below 1, else a number; chosen by a hash of the prompt, so rows ' +
        'added later do not move others (name from datasets’ train_test_split).',
    ),
    { dataset_test_name: isNotGiven, dataset_test_split: isNotGiven },
  ),
  max_train_samples: ours(
    positive.nullable().default(null),
    'Use only the first so many training examples; null: all.',
  ),
  max_test_samples: readWhen(
    readWhen(
      ours(positive.nullable().default(null), 'Use only the first so many test examples; null: all.'),
      { dataset_test_name: isGiven },
      { test_size: above(0) },
    ),
    { 'pld.size': above(0), 'pld.splits': includes('test') },
    { 'kl.size': above(0) },
  ),
  columns: ours(
    columnSettings('columns.messages'),
    'Which columns of the file are the prompt and the completion.',
  ),
  as_chat: readWhen(
    ours(
      z.boolean().default(false),
      'Make a text prompt one user message and its completion one assistant message, so that the chat template applies.',
    ),
    textData,
  ),
  system_prompt: readWhen(
    ours(text.nullable().default(null), 'System message put before every chat prompt; null: none.'),
    someChat,
  ),
  assistant_only_loss: readWhen(
    trl(
      z.boolean().default(false),
      'Learn every answer in `messages`, not only the last one. `train: false` (or `weight: 0`) in a message leaves it out and `train: ' +
        'true` takes it in, either way. Sampled answers take the place of the last answer, and are then all that is learned (TRL: ' +
        'false learns the questions too).',
    ),
    conversations,
  ),
  split_special_tokens: ours(
    z.boolean().nullable().default(null),
    'Names of control tokens such as <|im_end|> that stand in texts or messages: true reads them as plain text, false as control tokens ' +
      '(for templates written by hand); null: true, refused where most texts have one. They are counted either way.',
  ),
  max_rewritten_fraction: affects(
    'nothing',
    readWhen(
      ours(
        fraction.default(0.01),
        'Refuse to start when the chat template changes, drops or opens what is learned in more than this share of the chats; 1 allows any.',
      ),
      trainingChat,
    ),
  ),
  duplicates: ours(
    z.enum(['keep', 'drop']).default('keep'),
    'What happens to repeated examples; they are counted either way.',
  ),
  max_length: guessed(
    trl(positive.default(1024), 'Longest sequence (prompt and completion) in tokens.'),
    '4096 in Retaining by Doing (arXiv 2510.18874)',
  ),
  too_long: readWhen(
    ours(
      z.enum(['truncate', 'drop']).default('truncate'),
      'Examples longer than max_length: cut at the end (TRL’s keep_start; the end-of-text token is then not learnt) or left out.',
    ),
    { max_too_long_fraction: above(0) },
  ),
  max_too_long_fraction: affects(
    'nothing',
    ours(
      fraction.default(0.01),
      'Refuse to start when more than this share of the examples is longer than max_length; 1 allows any.',
    ),
  ),
  chat_template_path: readWhen(
    trl(text.nullable().default(null), 'Jinja file used in place of the chat template of the tokenizer.'),
    someChat,
  ),
  chat_template_date: readWhen(
    ours(
      z.iso.date().nullable().default(null),
      'Day such as 2026-11-26 that a chat template takes for today, where it writes the date; null: the day on which the run begins, kept ' +
        'in run.json for every day on which it goes on. Give it to repeat a run on a later day.',
    ),
    {
      ...someChat,
      'facts.readsDate': isTrue(
        'a chat template that reads the date (strftime_now)',
        'no chat template that is used here reads the date',
      ),
    },
  ),
  chat_template_kwargs: readWhen(
    trl(
      z.record(z.string(), z.union([z.string(), z.boolean(), z.null()])).default({}),
      'Variables handed to the chat template, such as enable_thinking.',
    ),
    someChat,
  ),
};

/** How the order of examples and every other draw is seeded. */
export const seedSettings = {
  seed: trl(seed.default(42), 'Seed of everything random, from adapter weights to sampled answers.'),
  data_seed: trl(
    seed.nullable().default(null),
    'Seed of the order of examples and of the split; null: seed.',
  ),
};
