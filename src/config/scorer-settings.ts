/** A scorer in the block of a method: the same keys as those of an evaluation set. */
import { z } from 'zod';
import { is, readWhen } from './condition.ts';
import { ours, text } from './setting.ts';

export const scorerSettings = {
  scorer: ours(
    z.enum(['exact_match', 'gsm8k', 'command', 'module']).default('exact_match'),
    'What scores an answer against the reference of its example, as in an evaluation set.',
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
