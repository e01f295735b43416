/**
 * Trajectory-Mixed Supervision (arXiv 2602.03073). Fine-tune once; let T checkpoints of that run answer the training prompts; train a
 * fresh student on a mixture of their answers and the gold ones. No reward, no verifier. docs/algorithm.md gives the equations.
 */

import { mixtureLines } from '../plan/describe.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import { checkpointSteps } from '../plan/training-plan.ts';
import type { Weigh } from '../training/answer-weights.ts';
import { meanOverTokens } from '../training/loss.ts';
import type { Trainer } from '../training/trainer.ts';
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
    const goldShare = (settings.alpha + (settings.alpha_end ?? settings.alpha)) / 2;
    const trainings: Record<string, PlannedTraining> = { sft: training({ label: 'SFT', role: 'baseline' }) };
    // Each round has a trajectory, whose checkpoints answer, and a student: of SFT, then (tms.refresh) of the student before.
    const rounds = [...roundsOf(settings.refresh)].map(({ student, trajectory, label }) => {
      const facts = {
        label,
        role: 'method',
        needs: [trajectory],
        startsFrom: settings.student_init,
      } as const;
      const trainsOn = `a mixture of gold and the answers of ${trajectory === 'sft' ? 'SFT’s' : `the student ${trajectory}’s`} checkpoints`;
      trainings[student] = training({ ...facts, trainsOn, goldShare }, settings.student);
      // t_1 < … < t_T = the last step (tms.spacing, tms.span); include_base puts the base before them as one more.
      const before = trainings[trajectory] as PlannedTraining;
      const steps = checkpointSteps(before.steps, settings);
      trainings[trajectory] = { ...before, checkpoints: settings.keep_checkpoints ? steps : [] };
      // With alpha_end α goes from one to the other. Each visit of a prompt draws from q_α = α·gold + (1−α)·(1/T)·Σ_k π_θk (E5): a coin, then a checkpoint, then its answer.
      const lazy_harvest = settings.lazy_harvest && settings.prefer_base === 0;
      const drawn = mixture(trainings[student], { ...settings, lazy_harvest, policies: steps.length });
      return { student, trajectory, checkpointSteps: steps, mixture: drawn };
    });
    return {
      trainings,
      rounds,
      sampling: sampling(settings),
      answers: rounds.reduce((sum, { mixture: { count } }) => sum + count, 0),
      lines: rounds.flatMap(({ trajectory, checkpointSteps: steps, mixture: drawn }) => [
        `harvest   checkpoints${trajectory === 'sft' ? '' : ` of ${trajectory}`} at steps ${steps.join(', ')}`,
        ...mixtureLines(drawn),
      ]),
    };
  },

  async run({ settings, plan, trainer }) {
    // The trajectory: SFT on the gold answers.
    const sft = trainer.training('sft', { from: trainer.base, on: trainer.gold, loss: meanOverTokens });
    let trajectory = sft;
    for (const { student, checkpointSteps: steps, mixture } of plan.rounds) {
      // Checkpoint θ_k answers what visits will read of it (E4: y^(k) ~ π_θk).
      const harvest = trainer.harvest(student, mixture, plan.sampling);
      for (const step of steps) await harvest.answersOf(await trajectory.to(step));
      await trajectory.finish();

      // The student: a fresh model, −log p of the drawn targets, a mean over the tokens of a step = forward KL to q_α (E6).
      const on = await harvest.targets({
        learnUnusable: settings.filters === 'none',
        weigh: settings.prefer_base === 0 ? null : likedByBase(trainer, settings.prefer_base),
        bound: { block: 'tms', max_fallback_fraction: settings.max_fallback_fraction },
      });
      const from = settings.student_init === 'sft' ? sft.end : trainer.base;
      trajectory = trainer.training(student, { from, on, loss: meanOverTokens }); // the next round's
    }
    await trajectory.finish();
  },
});

/** `student`, then `student-2`, …: with refresh each learns from the checkpoints of the one before. */
function* roundsOf(refresh: number): Generator<{ student: string; trajectory: string; label: string }> {
  yield { student: 'student', trajectory: 'sft', label: 'TMS' };
  for (let round = 2; round <= refresh + 1; round++)
    yield {
      student: `student-${round}`,
      trajectory: round === 2 ? 'student' : `student-${round - 1}`,
      label: `TMS, round ${round}`,
    };
}

/** Of each answer −λ·d, d the mean of −log π_base over its tokens. */
function likedByBase(trainer: Trainer, lambda: number): Weigh {
  const of: Weigh['of'] = async answers => {
    const sequences = answers.map(({ ids }) => ids);
    const found = await trainer.logprobs(trainer.base, sequences);
    return answers.map(({ promptLength }, i) => {
      const own = found[i]?.subarray(promptLength) ?? new Float32Array();
      const sum = own.reduce((total, logprob) => total + logprob, 0);
      return (lambda * sum) / Math.max(1, own.length);
    });
  };
  return { key: `${lambda} × mean log p under ${trainer.recipeOf(trainer.base)}`, of };
}
