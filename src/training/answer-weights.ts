/** How often answers are drawn against each other, kept with the run: weighing them may cost a pass of a model. */
import { z } from 'zod';
import { sha256OfRecord } from '../files/digest.ts';
import { readChecked, writeChecked } from '../files/read-record.ts';
import type { Encoded } from '../worker/worker.ts';
import type { Harvest } from './harvest.ts';
import type { Run } from './run.ts';

/** Natural logarithms of weights, up to a number that all answers to a prompt share; `key` differs whenever the function does. */
export type Weigh = {
  readonly key: string;
  readonly of: (answers: readonly Encoded[]) => Promise<number[]>;
};

const keptWeights = z.object({ weighed: z.string(), weights: z.array(z.number()) });

/** `of` takes the answers in their order, part by part, and finds the weights of those that a run weighed so before; `finish` keeps them. */
export function weighingOf({ directory }: Run, harvest: Harvest, { key, of }: Weigh) {
  const path = directory.place(`targets/${harvest.options.name}-weights.json`);
  const digests = harvest.asked.map(weights => directory.ledger.ofFile(harvest.fileOf(weights))?.sha256);
  const weighed = sha256OfRecord({ key, answers: digests });
  const found = readChecked(path, keptWeights).value;
  const known = found?.weighed === weighed && found.weights.length === harvest.count ? found.weights : null;
  const weights: number[] = [];
  return {
    of: async (answers: readonly Encoded[]): Promise<number[]> => {
      const start = weights.length;
      const own = known?.slice(start, start + answers.length) ?? (await of(answers));
      weights.push(...own);
      return own;
    },
    finish: (): void => {
      if (known === null) writeChecked(path, { weighed, weights });
    },
  };
}
