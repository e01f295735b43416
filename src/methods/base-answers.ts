/**
 * The control that a comparison needs: train as long as SFT does, on the base model's own answers. What is forgotten then is due to the
 * optimiser and not to the labels.
 */
import { z } from 'zod';
import { answerSettings } from '../config/answer-settings.ts';
import { defineMethod } from './method.ts';

export const baseAnswers = defineMethod({
  name: 'base-answers',
  title: 'train on the base model’s own answers, the control.',
  settings: z.strictObject(answerSettings).prefault({}),
  control: 'base_samples',

  plan({ settings, training, sampling, mixture }) {
    const control = training({ label: 'base answers', role: 'control', trainsOn: 'the base’s own answers' });
    // One answer a prompt, learned at every visit as it is: also one without an end is the base's own.
    const drawn = mixture(control, { alpha: 0, policies: 1, samples_per_prompt: 1, lazy_harvest: false });
    return {
      trainings: { 'base-answers': control },
      mixture: drawn,
      sampling: sampling(settings),
      answers: drawn.count,
    };
  },

  async run({ plan, trainer }) {
    const harvest = trainer.harvest('base-answers', plan.mixture, plan.sampling);
    await harvest.answersOf(trainer.base);
    const on = await harvest.targets({ learnUnusable: true });
    await trainer.training('base-answers', { from: trainer.base, on }).finish();
  },
});
