/**
 * Dynamic fine-tuning (2508.05629): SFT in which each token counts by the probability that the model gives it, taken as a constant:
 * loss −sg(p)·log p, gradient −∇p. What the model finds unlikely moves it little. Length and order are those of SFT.
 */
import { type Loss, weightsIn } from '../training/loss.ts';
import { fixedTargets, goldSequence } from '../training/targets.ts';
import { defineMethod } from './method.ts';

/** −p·log p of every learned token, divided by how many there are in the step. */
const loss: Loss = {
  name: 'cross-entropy times probability, mean over tokens',
  optionsFor: sequences => ({ normalizers: { dft: weightsIn(sequences, 'dft') } }),
};

export const dft = defineMethod({
  name: 'dft',
  title: 'fine-tune on gold answers, each token weighed by its own probability.',

  plan: ({ training }) => ({ trainings: { dft: training({ label: 'DFT', role: 'method' }) } }),

  async run({ trainer }) {
    const on = fixedTargets(trainer.gold.key, async ({ example }) => {
      const { ids, ce } = await goldSequence(trainer.run, example);
      return ce === undefined ? { ids } : { ids, dft: ce };
    });
    await trainer.training('dft', { from: trainer.base, on, loss }).finish();
  },
});
