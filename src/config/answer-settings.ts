/** How training prompts are answered: the same keys in the block of every method that samples. */
import { z } from 'zod';
import { above, type Condition, is, readWhen } from './condition.ts';
import { answerScorers, scorerHelp } from './set-settings.ts';
import { affects, fraction, guessed, ours, positive, text } from './setting.ts';

const exact = 'exact sampling, so that answers follow the policy of their checkpoint without bias';

/** The policy's answers: how they are drawn, how long they may be, where they end. */
export const answerSettings = {
  temperature: guessed(ours(z.number().min(0).default(1), 'Temperature of the answers; 0: greedy.'), exact),
  top_p: readWhen(
    guessed(
      ours(z.number().positive().max(1).default(1), 'Nucleus of the answers; 1: the whole distribution.'),
      exact,
    ),
    { '.temperature': above(0) },
  ),
  max_new_tokens: guessed(
    ours(
      positive.nullable().default(null),
      'Longest answer in tokens; null: what fits, max_length without the longest prompt. More than that is refused.',
    ),
    'the length budget of training',
  ),
  stop: ours(
    z.array(text).default([]),
    'Texts that end an answer: it ends before the first of them, is learnt with the end that its gold answer has, and counts as finished.',
  ),
};

/** What becomes of answers that cannot be learnt from. `filtered`: where the filters are read. */
export function unusableSettings(filtered: Condition) {
  return {
    unfinished: readWhen(
      guessed(
        ours(
          z.enum(['gold', 'redraw']).default('gold'),
          'In place of an unusable answer: the gold answer (the effective α is reported), or the next sample of the same checkpoint.',
        ),
        'a cut answer must never be learnt as if it were complete',
      ),
      { '.unfinished': is('gold'), ...filtered },
      { '.unfinished': is('redraw'), '.temperature': above(0) },
    ),
    max_redraws: readWhen(
      guessed(
        ours(
          z.int().min(0).max(10_000).default(4),
          'With unfinished: redraw, samples tried before the gold answer is taken.',
        ),
        'bounds the cost',
      ),
      { '.unfinished': is('redraw') },
    ),
    max_fallback_fraction: affects(
      'nothing',
      ours(
        fraction.default(0.5),
        'Refuse to train when more than this share of the visits that drew an answer would train on the gold answer in its place; 1 allows any.',
      ),
    ),
  };
}

// A scorer in the block of a method: the same keys as those of an evaluation set.

export const scorerSettings = {
  scorer: ours(
    z.enum([...answerScorers, 'command', 'module']).default('exact_match'),
    `What scores an answer against the gold answer of its example, as in an evaluation set. ${scorerHelp}`,
  ),
  command: readWhen(
    ours(z.array(text).min(1).nullable().default(null), 'scorer command: program and arguments.'),
    { '.scorer': is('command') },
  ),
  module: readWhen(
    ours(text.nullable().default(null), 'scorer module: a JavaScript file that exports `score`.'),
    { '.scorer': is('module') },
  ),
  scorer_inputs: readWhen(
    ours(z.array(text).default([]), 'Files and folders that the scorer reads besides what it imports.'),
    { '.scorer': is('command', 'module') },
  ),
};
