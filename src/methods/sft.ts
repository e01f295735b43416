/** Ordinary supervised fine-tuning, the baseline: every visit of a prompt learns its one gold answer. */
import { defineMethod } from './method.ts';

export const sft = defineMethod({
  name: 'sft',
  title: 'fine-tune on the gold answers only.',

  plan({ training }) {
    const plan = training({ label: 'SFT', role: 'baseline' });
    return { trainings: { sft: { ...plan, checkpoints: [plan.steps] } } };
  },

  async run({ trainer }) {
    await trainer.training('sft', { from: trainer.base, on: trainer.gold }).finish();
  },
});
