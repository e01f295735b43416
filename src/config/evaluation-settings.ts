import { z } from 'zod';
import { above, type Condition, hasSome, includes, is, isGiven, readWhen } from './condition.ts';
import { evaluationSet } from './set-settings.ts';
import { affects, count, fraction, guessed, ours, positive, text } from './setting.ts';

const answeredSets = hasSome('evaluation sets that are answered in words', set => {
  const { scorer, lm_eval } = set as { scorer: string; lm_eval: string | null };
  return scorer !== 'multiple_choice' && lm_eval === null;
});
const hasTestExamples: readonly Condition[] = [{ dataset_test_name: isGiven }, { test_size: above(0) }];
const sampledTemperatures = hasSome('temperatures above 0', temperature => Number(temperature) > 0);
const someSets = hasSome('evaluation sets');

/** Something that is answered in words, by whatever is measured. */
export const answeredSomewhere: readonly Condition[] = [
  { 'kl.size': above(0) },
  { 'eval.sets': answeredSets },
  { 'retention.sets': answeredSets },
];

const temperatures = readWhen(
  ours(
    z.array(z.number().min(0)).min(1).default([0]),
    'Temperatures at which generated sets are answered; 0: greedy.',
  ),
  { '.sets': answeredSets },
);
const sets = z.array(evaluationSet).default([]);

/** Entries stand for sets by the time that this is read, see suites.ts: nothing of them is left. */
const suiteSettings = {
  suites: ours(
    z.array(z.union([text, z.record(z.string(), z.unknown())])).default([]),
    'Benchmarks by name, beside sets: tasks of docs/tasks.md, such as arc_challenge, or lm_eval:NAME; or blocks such as ' +
      '{ name: mmlu, path: data, limit: 500 } with keys of a set. Data come from path, suites_path or the hub.',
  ),
  suites_path: ours(
    text.nullable().default(null),
    'Folder of data sets for suites without a path; null: the hub.',
  ),
};

/** What is measured, on which items and how often. */
export const evaluationSettings = {
  eval: ours(
    z
      .strictObject({
        sets: ours(sets, 'Sets that measure the target task.'),
        ...suiteSettings,
        temperatures,
      })
      .prefault({}),
    'Measures of the task that is learnt.',
  ),
  retention: ours(
    z
      .strictObject({
        sets: guessed(
          ours(sets, 'Sets that measure what should be kept.'),
          'ARC-C, HotpotQA and SafetyBench are named; prompts, shots and decoding are not',
        ),
        ...suiteSettings,
        margin: affects(
          'nothing',
          readWhen(
            ours(
              z.number().min(0).lt(1).default(0.02),
              'Largest loss of accuracy, as a share, that still counts as kept: the verdict of the report is "kept" where the 95 % interval of ' +
                'the change lies above −margin, "lost" where it lies below 0 and reaches the margin, else "inconclusive". Changes no number.',
            ),
            { '.sets': someSets },
          ),
        ),
        max_drop: affects(
          'nothing',
          readWhen(
            ours(
              fraction.nullable().default(null),
              'Largest drop of accuracy, as a share, that the trained model may have in any retention set, or averaged over them: a run ends with ' +
                'exit code 2 where the whole 95 % interval of a change lies below −max_drop, so only where the drop is surely larger. null: ' +
                'nothing is demanded. Changes no number.',
            ),
            { '.sets': someSets },
          ),
        ),
        temperatures,
        max_unfinished_fraction: affects(
          'nothing',
          readWhen(
            ours(
              fraction.default(0.1),
              'Mark Δ retention as not to be trusted where more than this share of the answers of the base or of the model to a set has no ' +
                'end: it then measures who stops, not who knows. 1 never does. Changes no number.',
            ),
            { '.sets': answeredSets },
          ),
        ),
      })
      .prefault({}),
    'Measures of other abilities: forgetting is their change against the base.',
  ),
  pld: ours(
    z
      .strictObject({
        size: readWhen(
          guessed(
            ours(count.default(500), 'Examples of each split that PLD is measured on; 0: not measured.'),
            '500–1,000 items make it stable',
          ),
          { '.splits': includes('train') },
          ...hasTestExamples,
        ),
        splits: readWhen(
          guessed(
            ours(
              z
                .array(z.enum(['train', 'test']))
                .min(1)
                .default(['train', 'test']),
              'Splits that PLD is measured on, always named apart.',
            ),
            'a test split is stated, which one is not',
          ),
          { '.size': above(0) },
        ),
      })
      .prefault({}),
    'Policy–label divergence: negative log-likelihood of the gold answers.',
  ),
  kl: ours(
    z
      .strictObject({
        size: readWhen(
          ours(
            count.default(64),
            'Prompts of the target and of each retention set that KL(base‖policy) is measured on; 0: not measured.',
          ),
          { '.size': is(0) },
          ...hasTestExamples,
          { 'retention.sets': someSets },
        ),
        own_answers: readWhen(
          ours(
            z.int().min(0).max(1000).default(0),
            'Answers that each model gives itself to each of these prompts at every measured point, at temperature 1: for KL(model‖base), its entropy ' +
              'and, from 2 on, the share of distinct answers to a prompt. Divergences are then taken over the whole vocabulary, KL(base‖model) ' +
              'beside its estimate too; the base is loaded beside the model while that lasts. 0: not measured.',
          ),
          { '.size': above(0) },
        ),
      })
      .prefault({}),
    'Distance from the base model, on stored samples of the base, and on answers of the model itself.',
  ),
  text_loss: ours(
    z
      .strictObject({
        path: ours(
          text.nullable().default(null),
          'File of documents that have nothing to do with the task (.jsonl, .jsonl.gz, .jsonl.zst or .parquet), whose cross-entropy is measured ' +
            'before and after: what is lost of language itself. null: not measured.',
        ),
        column: readWhen(ours(text.default('text'), 'Column with the text, or a template.'), {
          '.path': isGiven,
        }),
        size: readWhen(
          ours(positive.default(64), 'Documents that are measured, chosen by a hash of their content.'),
          { '.path': isGiven },
        ),
        max_tokens: readWhen(
          ours(
            z.int().min(2).max(1e6).default(512),
            'Tokens of a document that are read, from its beginning.',
          ),
          { '.path': isGiven },
        ),
      })
      .prefault({}),
    'Cross-entropy of a neutral text, document by document.',
  ),
  eval_points: ours(
    z.int().min(2).max(10_000).default(4),
    'Steps of a training run at which everything above is measured: equally spread, the base (step 0) and the last step included.',
  ),
};

/** Control runs that a careful comparison needs. */
export const controlSettings = z
  .strictObject({
    base_samples: ours(
      z.boolean().default(false),
      'Also train equally long on the base model’s own answers: forgetting that comes from the optimiser and not from the labels.',
    ),
    base_again: readWhen(
      ours(
        z.boolean().default(false),
        'Also measure the base a second time, on answers of another sampling seed: how far what rests on sampled answers differs without any ' +
          'training. Greedy answers do not differ.',
      ),
      { 'eval.temperatures': sampledTemperatures },
      { 'retention.temperatures': sampledTemperatures },
      { 'kl.own_answers': above(0) },
    ),
  })
  .prefault({});
