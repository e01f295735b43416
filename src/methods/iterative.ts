/**
 * Self-training in rounds. Round 1 is SFT on the gold answers; each further round trains on answers of the round before, mixed with gold answers
 * as TMS mixes: reward-free, or keeping only what a scorer accepts (rejection sampling, as ReST^EM, 2312.06585, and RAFT, 2304.06767).
 */
import { z } from 'zod';
import { answerSettings, scorerSettings, unusableSettings } from '../config/answer-settings.ts';
import { few, fraction, ours } from '../config/setting.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    rounds: ours(few.default(2), 'Rounds, the first of which is SFT on the gold answers.'),
    start: ours(
      z.enum(['base', 'previous']).default('base'),
      'Weights that a round starts from: the base model, or the last ones of the round before.',
    ),
    alpha: ours(fraction.default(0.25), 'Probability that a visit trains on the gold answer.'),
    accept: ours(
      z.strictObject(scorerSettings).nullable().default(null),
      'A scorer that an answer must satisfy (a score of at least 0.5), else the gold answer takes its place; null: every answer that has an end.',
    ),
    ...answerSettings,
    ...unusableSettings({}),
  })
  .prefault({});

export const iterative = defineMethod({
  name: 'iterative',
  title: 'fine-tune, then train again on the model’s own answers, in rounds.',
  settings,

  plan({ settings, training, sampling, mixture }) {
    const trainings: Record<string, PlannedTraining> = {};
    for (let round = 1; round <= settings.rounds; round++) {
      const before = Object.keys(trainings);
      const startsFrom = settings.start === 'base' ? 'base' : `round-${round - 1}`;
      const on = { trainsOn: 'answers of the round before, and gold', goldShare: settings.alpha };
      trainings[`round-${round}`] =
        round === 1
          ? training({ label: 'SFT (round 1)', role: 'baseline' })
          : training({ label: `round ${round}`, role: 'method', needs: before, startsFrom, ...on });
    }
    const drawn = mixture(trainings['round-1'] as PlannedTraining, { ...settings, policies: 1 });
    return {
      trainings,
      mixture: drawn,
      sampling: sampling(settings),
      answers: drawn.count * (settings.rounds - 1),
    };
  },

  async run({ settings, plan, trainer }) {
    const accept = settings.accept && (await trainer.rewards(settings.accept));
    const bound = { block: 'iterative', max_fallback_fraction: settings.max_fallback_fraction };
    let previous = trainer.base;
    for (const name of Object.keys(plan.trainings)) {
      const harvest = trainer.harvest(name, plan.mixture, plan.sampling);
      if (name !== 'round-1') await harvest.answersOf(previous);
      const on =
        name === 'round-1' ? trainer.gold : await harvest.targets({ learnUnusable: false, accept, bound });
      const from = settings.start === 'previous' ? previous : trainer.base;
      previous = await trainer.training(name, { from, on }).finish();
    }
  },
});
