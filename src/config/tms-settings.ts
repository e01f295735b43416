import { z } from 'zod';
import { above, type Condition, is, readWhen } from './condition.ts';
import { affects, epochs, few, fraction, guessed, ours, paper, positive, text } from './setting.ts';

const sampling = 'exact sampling, so that answers follow the policy of their checkpoint without bias';

const ofTms = { method: is('tms') };
/** Answers are sampled by checkpoints, or by the base for the control run. */
const answers = answersAt({});

function answersAt(more: Condition): readonly Condition[] {
  return [
    { ...ofTms, ...more },
    { 'controls.base_samples': is(true), ...more },
  ];
}

const studentSettings = z
  .strictObject({
    learning_rate: readWhen(
      guessed(
        ours(
          z.number().positive().nullable().default(null),
          'Peak learning rate of the student; null: learning_rate.',
        ),
        'the budget of the SFT run, for a fair comparison',
      ),
      ofTms,
    ),
    num_train_epochs: readWhen(
      guessed(
        ours(epochs.nullable().default(null), 'Epochs of the student; null: num_train_epochs.'),
        'the budget of the SFT run; "one student pass" in the paper could also mean one epoch',
      ),
      ofTms,
    ),
  })
  .prefault({});

/** Trajectory-Mixed Supervision: which checkpoints answer, how they sample, and what the student trains on. */
export const tmsSettings = z
  .strictObject({
    num_checkpoints: readWhen(
      paper(few.default(10), 'T: checkpoints of the SFT run that answer the prompts.'),
      ofTms,
    ),
    spacing: readWhen(
      guessed(
        ours(
          z.enum(['linear', 'geometric']).default('linear'),
          'Checkpoints at equal distances of steps, or denser at the start.',
        ),
        'equal distances, the last step included, as in Temporal Sampling (arXiv 2505.20196)',
      ),
      { ...ofTms, '.num_checkpoints': above(1) },
    ),
    include_base: readWhen(
      guessed(
        ours(z.boolean().default(false), 'Let the base model (step 0) answer too, as one more checkpoint.'),
        'the trajectory is read as what SFT passed through',
      ),
      ofTms,
    ),
    alpha: readWhen(
      paper(
        fraction.default(0.25),
        'α: probability that a visit of a prompt trains on the reference answer.',
      ),
      ofTms,
    ),
    samples_per_prompt: readWhen(
      guessed(
        ours(few.default(1), 'S: answers a checkpoint has for each prompt; every visit draws one of them.'),
        'the plain reading of "its own answer to each question"',
      ),
      { ...ofTms, '.samples_per_prompt': is(1) },
      { ...ofTms, '.temperature': above(0) },
    ),
    temperature: readWhen(
      guessed(ours(z.number().min(0).default(1), 'Temperature of the answers; 0: greedy.'), sampling),
      ...answers,
    ),
    top_p: readWhen(
      guessed(
        ours(z.number().positive().max(1).default(1), 'Nucleus of the answers; 1: the whole distribution.'),
        sampling,
      ),
      ...answersAt({ '.temperature': above(0) }),
    ),
    max_new_tokens: readWhen(
      guessed(
        ours(
          positive.nullable().default(null),
          'Longest answer in tokens; null: what fits, max_length without the longest prompt. More than that is refused.',
        ),
        'the length budget of training',
      ),
      ...answers,
    ),
    stop: readWhen(
      ours(
        z.array(text).default([]),
        'Texts that end an answer: it ends before the first of them, is learnt with the end that its reference has, and counts as finished.',
      ),
      ...answers,
    ),
    order: readWhen(
      guessed(
        ours(
          z.enum(['random', 'early_to_late']).default('random'),
          'Checkpoint of a visit: any, or the early ones at the start of the student’s training and the late ones at its end.',
        ),
        'the objective is stated with a random checkpoint; "curriculum" is not explained',
      ),
      { ...ofTms, '.num_checkpoints': above(1) },
      { ...ofTms, '.include_base': is(true) },
    ),
    filters: readWhen(
      guessed(
        ours(
          z.enum(['hygiene', 'none']).default('hygiene'),
          'Answers that are replaced as `unfinished` says: empty and unterminated ones, or none. Never by correctness.',
        ),
        'reward-free means no filter by correctness; nothing more is stated',
      ),
      ofTms,
    ),
    student_init: readWhen(
      guessed(
        ours(
          z.enum(['base', 'sft']).default('base'),
          'Weights that the student starts from: the base model or the last SFT checkpoint.',
        ),
        '"student", and retention near that of RL',
      ),
      ofTms,
    ),
    lazy_harvest: readWhen(
      ours(
        z.boolean().default(true),
        'Generate only the answers that the student will read; false: all T·S answers of every prompt, for later ablations.',
      ),
      ofTms,
    ),
    unfinished: readWhen(
      guessed(
        ours(
          z.enum(['gold', 'redraw']).default('gold'),
          'In place of an unusable answer: the reference (the effective α is reported), or the next sample of the same checkpoint.',
        ),
        'a cut answer must never be learnt as if it were complete',
      ),
      { ...ofTms, '.unfinished': is('gold'), '.filters': is('hygiene') },
      ...answersAt({ '.unfinished': is('redraw'), '.temperature': above(0) }),
    ),
    max_redraws: readWhen(
      guessed(
        ours(
          z.int().min(0).max(10_000).default(4),
          'With unfinished: redraw, samples tried before the reference is taken.',
        ),
        'bounds the cost',
      ),
      ...answersAt({ '.unfinished': is('redraw') }),
    ),
    max_fallback_fraction: affects(
      'nothing',
      readWhen(
        ours(
          fraction.default(0.5),
          'Refuse to train the student when more than this share of the visits that drew an answer would train on the reference in its ' +
            'place; 1 allows any.',
        ),
        ofTms,
      ),
    ),
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
