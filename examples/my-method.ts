/**
 * A method of one's own: first train on what the base itself answers, greedily, then go on with the gold answers. The first half moves the
 * weights without new labels; whether that spares what the model knew is for the table to say.
 *
 *     npx tms run examples/my-method.yaml
 */
import { answerSettings, defineMethod, ours, z } from '../src/index.ts'; // in a project of yours: from 'tms'

const settings = z
  .strictObject({
    epochs: ours(z.number().positive().default(1), 'Passes over the base’s own answers.'),
    max_new_tokens: answerSettings.max_new_tokens,
  })
  .prefault({});

export default defineMethod({
  name: 'own-answers-first',
  title: 'train on the base’s greedy answers, then on gold.',
  settings,

  plan({ settings: { epochs, max_new_tokens }, training, sampling, mixture }) {
    const trainsOn = 'the base’s greedy answers';
    const own = training({ label: 'own answers', role: 'baseline', trainsOn }, { num_train_epochs: epochs });
    const then = { needs: ['own'], startsFrom: 'own' };
    const gold = training({ label: 'own, then gold', role: 'method', ...then });
    const drawn = mixture(own, { alpha: 0, policies: 1, samples_per_prompt: 1, lazy_harvest: false });
    return {
      trainings: { own, 'then-gold': gold },
      mixture: drawn,
      sampling: sampling({ temperature: 0, top_p: 1, max_new_tokens, stop: [] }),
      answers: drawn.count,
    };
  },

  async run({ plan, trainer }) {
    const harvest = trainer.harvest('own', plan.mixture, plan.sampling);
    await harvest.answersOf(trainer.base);
    const on = await harvest.targets({ learnUnusable: true });
    const own = await trainer.training('own', { from: trainer.base, on }).finish();
    await trainer.training('then-gold', { from: own, on: trainer.gold }).finish();
  },
});
