/**
 * Fine-tuning with replay: a share of the visits learns an example of another file, such as data like those that the model was made with,
 * in place of its own (experience replay: Robins 1995; for language models 2403.08763). Length and order are those of SFT.
 */
import { z } from 'zod';
import { datasetSettings } from '../config/data-settings.ts';
import { fraction, ours } from '../config/setting.ts';
import { drawExample } from '../plan/draws.ts';
import { defineMethod } from './method.ts';

const settings = z
  .strictObject({
    ...datasetSettings,
    share: ours(
      fraction.default(0.25),
      'Probability that a visit learns an example of that file, drawn anew each time.',
    ),
  })
  .prefault({});

export const replay = defineMethod({
  name: 'replay',
  title: 'fine-tune on gold answers and, for a share of the visits, on examples of another file.',
  settings,

  check({ dataset_name }) {
    if (dataset_name !== null) return [];
    return [
      { path: ['dataset_name'], found: 'nothing', expected: 'a file of examples to replay', hint: null },
    ];
  },

  datasets: ({ dataset_name, columns, max_samples }) => ({
    replay: { dataset_name: dataset_name ?? '', columns, max_samples },
  }),

  plan({ settings: { share }, training, datasets }) {
    const trainsOn = `gold and, in ${share} of the visits, one of ${datasets.replay} other examples`;
    return {
      trainings: {
        replay: training({ label: 'SFT + replay', role: 'method', trainsOn, goldShare: 1 - share }),
      },
    };
  },

  async run({ settings: { share }, config, trainer }) {
    const { data, datasets } = trainer.run;
    const draw = drawExample({ seed: config.seed, share, examples: datasets.replay?.rows.length ?? 0 });
    const on = await trainer.chosen('replay', visit => {
      const example = draw(visit, data.idOf(visit.example));
      return example === null ? 'gold' : { dataset: 'replay', example };
    });
    await trainer.training('replay', { from: trainer.base, on }).finish();
  },
});
