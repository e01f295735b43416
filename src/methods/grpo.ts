/**
 * Group relative policy optimisation (DeepSeekMath, 2402.03300), on-policy: at every step the model answers each prompt G times, a scorer
 * rewards the answers, and every token of an answer is weighed by how far its reward stands from the mean of its group.
 */
import { z } from 'zod';
import { answerSettings, scorerSettings } from '../config/answer-settings.ts';
import { few, ours } from '../config/setting.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { clippedPolicyGradient } from '../training/loss.ts';
import { weighed } from '../training/policy.ts';
import type { Targets } from '../training/targets.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    group_size: ours(few.min(2).default(8), 'G: answers to a prompt in a step.'),
    clip: ours(z.number().positive().max(1).default(0.2), 'Ratios are clipped to 1 − clip … 1 + clip_high.'),
    clip_high: ours(z.number().positive().nullable().default(null), 'null: clip.'),
    kl_coefficient: ours(
      z.number().min(0).default(0),
      'Weight of KL(π‖base) in the loss. Above 0 the worker keeps the base as the reference model: as much memory as the weights once more.',
    ),
    reward: ours(z.strictObject(scorerSettings).prefault({}), 'What rewards an answer, from 0 to 1.'),
    ...answerSettings,
  })
  .prefault({});

export const grpo = defineMethod({
  name: 'grpo',
  title: 'reinforcement learning with group advantages: reward in place of gold answers.',
  settings,

  plan({ settings, training, sampling }) {
    const { group_size: sequencesPerVisit } = settings;
    const plan = training({
      label: 'GRPO',
      role: 'method',
      trainsOn: 'its own answers, by their rewards',
      sequencesPerVisit,
      ...(settings.kl_coefficient > 0 && { reference: { model: 'base', rate: 0 } }),
    });
    return {
      trainings: { grpo: plan },
      sampling: sampling(settings),
      answers: plan.visits * sequencesPerVisit,
    };
  },

  async run({ settings, plan, trainer }) {
    const { group_size: size, clip, clip_high, kl_coefficient: kl } = settings;
    const rewards = await trainer.rewards(settings.reward);
    const on: Targets = {
      key: sha256OfRecord({
        grpo: settings,
        sampling: plan.sampling,
        rewards: rewards.key,
        data: trainer.gold.key,
      }),
      isOnPolicy: true,
      of: async (visits, _, policy) => {
        const answers = await policy.answers(visits, size, plan.sampling);
        const scores = await rewards.of(answers);
        const advantages = groupsOf(scores, size).map(advantagesIn);
        const sequences = answers.flatMap((answer, i) => {
          const group = advantages[Math.floor(i / size)] ?? null;
          return group === null ? [] : [weighed(answer, group[i % size] as number)];
        });
        const base =
          kl > 0 && sequences.length > 0
            ? await policy.reference.logprobs(sequences.map(({ ids }) => ids))
            : [];
        return {
          sequences: sequences.map((sequence, i) =>
            base[i] ? { ...sequence, referenceLogprobs: base[i] } : sequence,
          ),
          metrics: {
            reward: scores.reduce((sum, score) => sum + score, 0) / scores.length,
            groups_without_signal: advantages.filter(group => group === null).length,
            unfinished: answers.filter(({ isFinished }) => !isFinished).length,
          },
        };
      },
    };
    const loss = clippedPolicyGradient({ low: clip, high: clip_high ?? clip, kl });
    await trainer.training('grpo', { from: trainer.base, on, loss }).finish();
  },
});

function groupsOf(scores: readonly number[], size: number): number[][] {
  return Array.from({ length: scores.length / size }, (_, g) => scores.slice(g * size, (g + 1) * size));
}

/** (r − mean) / (standard deviation + 10⁻⁴) within a group; null where all rewards are equal: such a group says nothing. */
function advantagesIn(group: readonly number[]): number[] | null {
  const mean = group.reduce((sum, score) => sum + score, 0) / group.length;
  const variance = group.reduce((sum, score) => sum + (score - mean) ** 2, 0) / (group.length - 1);
  // Shares such as 0.1 have a mean that is not one of them.
  return group.every(score => score === group[0])
    ? null
    : group.map(score => (score - mean) / (Math.sqrt(variance) + 1e-4));
}
