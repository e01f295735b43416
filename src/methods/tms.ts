/**
 * Trajectory-Mixed Supervision (arXiv 2602.03073). Fine-tune once; let T checkpoints of that run answer the training prompts; train a
 * fresh student on a mixture of their answers and the gold ones. No reward, no verifier. docs/algorithm.md gives the equations.
 */

import { mixtureLines } from '../plan/describe.ts';
import { checkpointSteps } from '../plan/training-plan.ts';
import { meanOverTokens } from '../training/loss.ts';
import { defineMethod } from './method.ts';
import { tmsSettings } from './tms-settings.ts';

export const tms = defineMethod({
  name: 'tms',
  title: 'fine-tune, let the checkpoints answer, train a fresh student on the mixture.',
  settings: tmsSettings,

  check({ num_checkpoints, include_base }, { max_steps }) {
    if (num_checkpoints === 0 && !include_base) {
      const expected = '1 or more, or include_base: true';
      return [{ path: ['num_checkpoints'], found: '0', expected, hint: 'somebody must answer' }];
    }
    if (max_steps <= 0 || num_checkpoints <= max_steps) return [];
    const expected = `at most max_steps (${max_steps})`;
    const hint = 'each checkpoint needs a step of its own';
    return [{ path: ['num_checkpoints'], found: String(num_checkpoints), expected, hint }];
  },

  plan({ settings, training, sampling, mixture }) {
    const sft = training({ label: 'SFT', role: 'baseline' });
    const student = training(
      {
        label: 'TMS',
        role: 'method',
        needs: ['sft'],
        startsFrom: settings.student_init,
        trainsOn: 'a mixture of gold and the answers of SFT’s checkpoints',
        goldShare: (settings.alpha + (settings.alpha_end ?? settings.alpha)) / 2,
      },
      settings.student,
    );
    // t_1 < … < t_T = the last step (tms.spacing, tms.span); include_base puts the base before them as one more.
    const checkpoints = checkpointSteps(sft.steps, settings);
    // With alpha_end α goes from one to the other. Each visit of a prompt draws from q_α = α·gold + (1−α)·(1/T)·Σ_k π_θk (E5): a coin, then a checkpoint, then its answer.
    const lazy_harvest = settings.lazy_harvest && settings.prefer_base === 0;
    const drawn = mixture(student, { ...settings, lazy_harvest, policies: checkpoints.length });
    return {
      trainings: { sft: { ...sft, checkpoints: settings.keep_checkpoints ? checkpoints : [] }, student },
      checkpointSteps: checkpoints,
      mixture: drawn,
      sampling: sampling(settings),
      answers: drawn.count,
      lines: [`harvest   checkpoints at steps ${checkpoints.join(', ')}`, ...mixtureLines(drawn)],
    };
  },

  async run({ settings, plan, trainer }) {
    // The trajectory: SFT on the gold answers. Checkpoint θ_k answers what visits will read of it (E4: y^(k) ~ π_θk).
    const sft = trainer.training('sft', { from: trainer.base, on: trainer.gold, loss: meanOverTokens });
    const harvest = trainer.harvest('student', plan.mixture, plan.sampling);
    for (const step of plan.checkpointSteps) await harvest.answersOf(await sft.to(step));
    await sft.finish();

    // The student: a fresh model, −log p of the drawn targets, a mean over the tokens of a step = forward KL to q_α (E6).
    const on = await harvest.targets({
      learnUnusable: settings.filters === 'none',
      weigh:
        settings.prefer_base === 0
          ? null
          : async answers => {
              const found = await trainer.logprobs(
                trainer.base,
                answers.map(({ ids }) => ids),
              );
              return answers.map(({ promptLength }, i) =>
                preference(settings.prefer_base, found[i]?.slice(promptLength)),
              );
            },
      bound: { block: 'tms', max_fallback_fraction: settings.max_fallback_fraction },
    });
    const from = settings.student_init === 'sft' ? sft.end : trainer.base;
    await trainer.training('student', { from, on, loss: meanOverTokens }).finish();
  },
});

/** exp(−λ·d), d the mean of −log π over the tokens of an answer. */
function preference(lambda: number, logprobs: Float32Array = new Float32Array()): number {
  const sum = logprobs.reduce((total, logprob) => total + logprob, 0);
  return Math.exp((lambda * sum) / Math.max(1, logprobs.length));
}
