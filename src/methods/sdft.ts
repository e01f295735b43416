/**
 * Self-distillation fine-tuning (Self-Distillation Enables Continual Learning, 2601.19897): the model answers, and learns what it would have said
 * itself with the gold answer before its eyes. The teacher is the base or an exponential average of the model that is trained.
 */
import { z } from 'zod';
import { answerSettings } from '../config/answer-settings.ts';
import { is, readWhen } from '../config/condition.ts';
import { few, ours, text } from '../config/setting.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { distilledTargets, divergence } from '../training/distilled.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    teacher: ours(
      z.enum(['base', 'ema']).default('ema'),
      'Weights of the teacher: those of the base, or the exponential average of those that are trained.',
    ),
    ema_rate: readWhen(
      ours(
        z.number().gt(0).max(1).default(0.01),
        'How far the average moves at each step; 1: the teacher is the model itself.',
      ),
      { '.teacher': is('ema') },
    ),
    frame: ours(
      text.default(
        '{prompt}\n\nThis is an example for a response to the question:\n{answer}\n\nNow answer with a response of your own, including the thinking process.',
      ),
      'What the teacher is asked: {prompt} is what the model is asked, {answer} its gold answer. In a chat it stands in the last message of the user.',
    ),
    direction: ours(
      z.enum(['forward', 'reverse']).default('forward'),
      'forward: KL(teacher‖model), as the authors’ code; reverse: KL(model‖teacher), as their equation 1.',
    ),
    top_k: ours(
      few.default(32),
      'Ids in the place of a token that are compared one by one; the others count as one.',
    ),
    samples_per_prompt: ours(few.default(1), 'Answers to a prompt in a step.'),
    ...answerSettings,
  })
  .prefault({});

export const sdft = defineMethod({
  name: 'sdft',
  title: 'learn, on own answers, what the model says itself with the gold answer in its prompt.',
  settings,

  check({ frame }) {
    if (frame.includes('{answer}') && frame.includes('{prompt}')) return [];
    const expected = 'a text with {prompt} and {answer}';
    return [{ path: ['frame'], found: JSON.stringify(frame), expected, hint: null }];
  },

  plan({ settings, training, sampling }) {
    const { samples_per_prompt: sequencesPerVisit, teacher, ema_rate } = settings;
    const reference = { model: 'base', rate: teacher === 'ema' ? ema_rate : 0 } as const;
    const trainsOn = 'its own answers, towards what it says with gold in its prompt';
    const plan = training({ label: 'SDFT', role: 'method', trainsOn, sequencesPerVisit, reference });
    return {
      trainings: { sdft: plan },
      sampling: sampling(settings),
      answers: plan.visits * sequencesPerVisit,
    };
  },

  async run({ settings, plan, trainer }) {
    const { frame, direction, top_k: topK, samples_per_prompt: count } = settings;
    const { sampling } = plan;
    const key = sha256OfRecord({ sdft: { frame, topK, count }, sampling, data: trainer.gold.key });
    const on = distilledTargets(trainer.run, { key, count, sampling, topK, frame });
    await trainer.training('sdft', { from: trainer.base, on, loss: divergence(direction) }).finish();
  },
});
