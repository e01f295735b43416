/**
 * On-policy distillation (GKD, 2306.13649; to get back what fine-tuning lost: Thinking Machines, 2025): the model answers, and learns what a frozen
 * teacher would have said in the place of each of its tokens. With the base as the teacher it starts where SFT ended.
 */
import { z } from 'zod';
import { answerSettings } from '../config/answer-settings.ts';
import { epochs, few, ours, text } from '../config/setting.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { distilledTargets, divergence } from '../training/distilled.ts';
import { defineMethod } from './method.ts';
import { otherAdapters } from './plain-adapter.ts';

const settings = z
  .strictObject({
    teacher: ours(
      text.nullable().default(null),
      'Directory or hub id of the teacher, of the same architecture and vocabulary; null: the base.',
    ),
    start: ours(
      z.enum(['sft', 'base']).default('sft'),
      'Weights that distillation starts from: those at the end of SFT, which is trained first, or the base.',
    ),
    direction: ours(
      z.enum(['forward', 'reverse']).default('reverse'),
      'forward: KL(teacher‖model); reverse: KL(model‖teacher).',
    ),
    top_k: ours(
      few.default(32),
      'Ids in the place of a token that are compared one by one; the others count as one.',
    ),
    samples_per_prompt: ours(few.default(1), 'Answers to a prompt in a step.'),
    learning_rate: ours(
      z.number().positive().nullable().default(null),
      'Peak learning rate of the distillation; null: learning_rate.',
    ),
    num_train_epochs: ours(
      epochs.nullable().default(null),
      'Epochs of the distillation; null: num_train_epochs.',
    ),
    ...answerSettings,
  })
  .prefault({});

export const distill = defineMethod({
  name: 'distill',
  title:
    'learn, on own answers, what a frozen teacher would have said: the base, after SFT, or another model.',
  settings,

  check({ teacher, start }, config) {
    if (teacher !== null) return [];
    if (start === 'sft') return otherAdapters(config);
    const expected = 'sft, or a teacher';
    return [{ path: ['start'], found: 'base', expected, hint: 'the base has nothing to learn from itself' }];
  },

  plan({ settings, training, sampling }) {
    const { samples_per_prompt: sequencesPerVisit, start, teacher } = settings;
    const sft = start === 'sft' ? { sft: training({ label: 'SFT', role: 'baseline' }) } : {};
    const facts = {
      label: 'distilled',
      role: 'method',
      needs: Object.keys(sft),
      startsFrom: start,
      trainsOn: `its own answers, towards ${teacher ?? 'the base'}`,
      sequencesPerVisit,
      reference: { model: teacher === null ? 'base' : { path: teacher }, rate: 0 },
    } as const;
    const plan = training(facts, settings);
    const trainings = { ...sft, distill: plan };
    return { trainings, sampling: sampling(settings), answers: plan.visits * sequencesPerVisit };
  },

  async run({ settings, plan, trainer }) {
    const { teacher, start, direction, top_k: topK, samples_per_prompt: count } = settings;
    const { sampling } = plan;
    const from =
      start === 'sft'
        ? await trainer.training('sft', { from: trainer.base, on: trainer.gold }).finish()
        : trainer.base;
    const key = sha256OfRecord({ distill: { teacher, topK, count }, sampling, data: trainer.gold.key });
    const on = distilledTargets(trainer.run, { key, count, sampling, topK, frame: null });
    await trainer.training('distill', { from, on, loss: divergence(direction) }).finish();
  },
});
