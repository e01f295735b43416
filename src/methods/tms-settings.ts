/** The block `tms`: which checkpoints answer, how they sample, and what the student trains on. */
import { z } from 'zod';
import { answerSettings, unusableSettings } from '../config/answer-settings.ts';
import { above, is, readWhen } from '../config/condition.ts';
import { affects, epochs, few, fraction, guessed, ours, paper } from '../config/setting.ts';

const studentSettings = z
  .strictObject({
    learning_rate: guessed(
      ours(
        z.number().positive().nullable().default(null),
        'Peak learning rate of the student; null: learning_rate.',
      ),
      'the budget of the SFT run, for a fair comparison',
    ),
    num_train_epochs: guessed(
      ours(epochs.nullable().default(null), 'Epochs of the student; null: num_train_epochs.'),
      'the budget of the SFT run; "one student pass" in the paper could also mean one epoch',
    ),
  })
  .prefault({});

export const tmsSettings = z
  .strictObject({
    num_checkpoints: paper(
      z.int().min(0).max(10_000).default(10),
      'T: checkpoints of the SFT run that answer the prompts. 1: its last one. 0, with include_base: the base alone.',
    ),
    spacing: readWhen(
      guessed(
        ours(
          z.enum(['linear', 'geometric']).default('linear'),
          'Checkpoints at equal distances of steps, or denser at the start.',
        ),
        'equal distances, the last step included, as in Temporal Sampling (arXiv 2505.20196)',
      ),
      { '.num_checkpoints': above(1) },
    ),
    span: readWhen(
      ours(
        z.number().gt(0).max(1).default(1),
        'Checkpoints lie in this first share of the SFT run, such as 0.1 for the steps in which the style of the answers changes; 1: in all of it.',
      ),
      { '.num_checkpoints': above(0) },
    ),
    include_base: guessed(
      ours(z.boolean().default(false), 'Let the base model (step 0) answer too, as one more checkpoint.'),
      'the trajectory is read as what SFT passed through',
    ),
    refresh: readWhen(
      ours(
        z.int().min(0).max(20).default(0),
        'Further rounds: the checkpoints of the student answer as those of SFT did, and a fresh student trains on that mixture. 0: one student.',
      ),
      { '.num_checkpoints': above(0) },
    ),
    alpha: paper(
      fraction.default(0.25),
      'α: probability that a visit of a prompt trains on the gold answer.',
    ),
    alpha_end: ours(
      fraction.nullable().default(null),
      'α at the last visit of the student, reached from alpha in equal steps: annealing; null: alpha throughout.',
    ),
    prefer_base: readWhen(
      ours(
        z.number().min(0).default(0),
        'λ: of the checkpoints’ answers to a prompt each is drawn in proportion to exp(−λ·d), d being −log π_base, a mean over its tokens: what the ' +
          'base would hardly say is learned less. Above 0 all answers are generated. 0: all alike.',
      ),
      { '.num_checkpoints': above(1), '.order': is('random') },
      { '.num_checkpoints': above(0), '.include_base': is(true), '.order': is('random') },
    ),
    samples_per_prompt: readWhen(
      guessed(
        ours(few.default(1), 'S: answers a checkpoint has for each prompt; every visit draws one of them.'),
        'the plain reading of "its own answer to each question"',
      ),
      { '.samples_per_prompt': is(1) },
      { '.temperature': above(0) },
    ),
    ...answerSettings,
    order: readWhen(
      guessed(
        ours(
          z.enum(['random', 'early_to_late']).default('random'),
          'Checkpoint of a visit: any, or the early ones at the start of the student’s training and the late ones at its end.',
        ),
        'the objective is stated with a random checkpoint; "curriculum" is not explained',
      ),
      { '.num_checkpoints': above(1) },
      { '.num_checkpoints': above(0), '.include_base': is(true) },
    ),
    filters: guessed(
      ours(
        z.enum(['hygiene', 'none']).default('hygiene'),
        'Answers that are replaced as `unfinished` says: empty and unterminated ones, or none. Never by correctness.',
      ),
      'reward-free means no filter by correctness; nothing more is stated',
    ),
    student_init: guessed(
      ours(
        z.enum(['base', 'sft']).default('base'),
        'Weights that the student starts from: the base model or the last SFT checkpoint.',
      ),
      '"student", and retention near that of RL',
    ),
    lazy_harvest: readWhen(
      ours(
        z.boolean().default(true),
        'Generate only the answers that the student will read; false: all T·S answers of every prompt, for later ablations.',
      ),
      { '.prefer_base': is(0) },
    ),
    ...unusableSettings({ '.filters': is('hygiene') }),
    keep_checkpoints: affects(
      'nothing',
      ours(
        z.boolean().default(true),
        'Keep the weights of the T checkpoints, so that another α or order can have its answers later without a new SFT run.',
      ),
    ),
    student: ours(studentSettings, 'What differs between the training of the student and the SFT run.'),
  })
  .prefault({});
