/**
 * SFT held near the base: −log p of every gold token, and β times the divergence between the base's distribution in its place and the
 * model's, over the base's k likeliest ids and one place for all others (2510.18874 compare KL-regularised SFT; RL's Razor, 2509.04259).
 */
import { z } from 'zod';
import { few, ours } from '../config/setting.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { type Loss, weightsIn } from '../training/loss.ts';
import { goldSequence, type Targets } from '../training/targets.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    beta: ours(
      z.number().positive().default(0.1),
      'β: weight of the divergence from the base; the gold answer has weight 1.',
    ),
    direction: ours(
      z.enum(['forward', 'reverse']).default('forward'),
      'forward: KL(base‖model), which keeps what the base would say. reverse: KL(model‖base), which avoids what it would not.',
    ),
    top_k: ours(
      few.default(32),
      'Ids in the place of a token that are compared one by one; the others count as one.',
    ),
  })
  .prefault({});

export const klSft = defineMethod({
  name: 'kl-sft',
  title: 'fine-tune on gold answers, held near the base’s distributions.',
  settings,

  plan: ({ settings: { beta }, training }) => ({
    trainings: {
      'kl-sft': training({
        label: `SFT + ${beta}·KL`,
        role: 'method',
        trainsOn: 'gold, held near the base',
        reference: { model: 'base', rate: 0 },
      }),
    },
  }),

  async run({ settings: { beta, direction, top_k }, trainer }) {
    const on: Targets = {
      key: sha256OfRecord({ gold: trainer.gold.key, base: trainer.recipeOf(trainer.base), top_k }),
      of: async (visits, _, policy) => {
        const gold = await Promise.all(visits.map(({ example }) => goldSequence(trainer.run, example)));
        const top = await policy.reference.top(
          gold.map(({ ids }) => Int32Array.from(ids)),
          top_k,
        );
        const sequences = gold.map((sequence, i) => ({
          ...sequence,
          ...(sequence.ce && { match: sequence.ce }),
          targetIds: top[i]?.ids ?? [],
          targetLogprobs: top[i]?.logprobs ?? [],
        }));
        return { sequences };
      },
    };
    const loss: Loss = {
      name: `cross-entropy and ${beta} times ${direction} KL, mean over tokens`,
      optionsFor: sequences => ({
        normalizers: { ce: weightsIn(sequences, 'ce'), match: weightsIn(sequences, 'match') / beta },
        direction,
      }),
    };
    await trainer.training('kl-sft', { from: trainer.base, on, loss }).finish();
  },
});
