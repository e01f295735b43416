/**
 * Self-rewritten gold (Self-Distillation Bridges Distribution Gap, 2402.13669): the base sees each gold answer and writes it in its own words; then
 * SFT on what it wrote. Where that has no end, gives itself away or is not accepted, the gold answer stays.
 */
import { z } from 'zod';
import { answerSettings, scorerSettings, unusableSettings } from '../config/answer-settings.ts';
import { ours, text } from '../config/setting.ts';
import { sha256OfRecord } from '../files/digest.ts';
import type { Rewards } from '../training/rewards.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    frame: ours(
      text.default(
        '{prompt}\n\nHere is a reference answer:\n{answer}\n\nAnswer in your own words, with the reference answer as a guide. Do not mention it.',
      ),
      'What the base is asked: {prompt} is what the model is asked, {answer} its gold answer. In a chat it stands in the last message of the user.',
    ),
    banned: ours(
      z.array(text).default(['reference answer', 'in my own words']),
      'A rewriting with one of these texts, in small or capital letters, speaks of its task: the gold answer stays.',
    ),
    accept: ours(
      z.strictObject(scorerSettings).nullable().default(null),
      'A scorer that a rewriting must satisfy (a score of at least 0.5), else the gold answer stays, such as gsm8k for a final number; null: none.',
    ),
    ...answerSettings,
    ...unusableSettings({}),
  })
  .prefault({});

export const selfRewritten = defineMethod({
  name: 'self-rewritten',
  title: 'fine-tune on gold answers that the base has written in its own words.',
  settings,

  check({ frame }) {
    if (frame.includes('{answer}') && frame.includes('{prompt}')) return [];
    const expected = 'a text with {prompt} and {answer}';
    return [{ path: ['frame'], found: JSON.stringify(frame), expected, hint: null }];
  },

  plan({ settings, training, sampling, mixture }) {
    const trainsOn = 'gold in the base’s own words';
    const plan = training({ label: 'SFT on rewritten gold', role: 'method', trainsOn, goldShare: 0 });
    const drawn = mixture(plan, { alpha: 0, policies: 1, samples_per_prompt: 1, lazy_harvest: false });
    return {
      trainings: { 'self-rewritten': plan },
      mixture: drawn,
      sampling: { ...sampling(settings), frame: settings.frame },
      answers: drawn.count,
    };
  },

  async run({ settings, plan, trainer }) {
    const { banned, max_fallback_fraction } = settings;
    const scorer = settings.accept && (await trainer.rewards(settings.accept));
    const harvest = trainer.harvest('self-rewritten', plan.mixture, plan.sampling);
    await harvest.answersOf(trainer.base);
    const on = await harvest.targets({
      learnUnusable: false,
      accept: silentAbout(banned, scorer),
      bound: { block: 'self_rewritten', max_fallback_fraction },
    });
    await trainer.training('self-rewritten', { from: trainer.base, on }).finish();
  },
});

/** 0 for an answer that holds one of the texts, else what the scorer says, 1 without one. */
function silentAbout(banned: readonly string[], scorer: Rewards | null): Rewards {
  const small = banned.map(phrase => phrase.toLowerCase());
  return {
    key: sha256OfRecord({ banned, scorer: scorer?.key ?? null }),
    of: async answers => {
      const scores = scorer === null ? answers.map(() => 1) : await scorer.of(answers);
      return answers.map((answer, i) =>
        small.some(phrase => answer.text.toLowerCase().includes(phrase)) ? 0 : (scores[i] ?? 0),
      );
    },
  };
}
