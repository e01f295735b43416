/** How alike gold is what a training learns: what its targets bring that the data do not. */
import { tokenOverlap } from '../data/token-overlap.ts';
import { writeChecked } from '../files/read-record.ts';
import type { Encoded } from '../worker/worker.ts';
import type { Harvest } from './harvest.ts';
import type { Run } from './run.ts';
import type { Targets } from './targets.ts';

/** `of` gives the share of tokens that an answer has in common with gold; `finish` writes the means of each policy, for the report. */
export function overlapsOf({ data, directory }: Run, harvest: Harvest) {
  const sums = harvest.asked.map(() => ({ answers: 0, equal: 0, overlap: 0 }));
  return {
    of: async (policy: number, example: number, whole: Encoded): Promise<number> => {
      const { ids, promptLength } = await data.tokens.read(data.rows[example] as number);
      const [answer, gold] = [whole.ids.subarray(whole.promptLength), ids.subarray(promptLength)];
      const overlap = tokenOverlap(answer, gold);
      const sum = sums[policy];
      if (sum === undefined) return overlap;
      sum.answers++;
      sum.equal += Number(answer.join() === gold.join());
      sum.overlap += overlap;
      return overlap;
    },
    finish: (): void => {
      const answers = harvest.asked.map(({ training, step }, i) => {
        const { answers: count = 0, equal: equalToGold = 0, overlap = 0 } = sums[i] ?? {};
        return { training, step, answers: count, equalToGold, overlap: overlap / Math.max(1, count) };
      });
      writeChecked(directory.place(`targets/${harvest.options.name}-overlap.json`), { answers });
    },
  };
}

/** With the mean over what a step learns in its line of metrics; `overlaps` by visit, 1 of gold itself. */
export function withOverlaps(targets: Targets, overlaps: Float32Array): Targets {
  return {
    ...targets,
    of: async (visits, step, policy) => {
      const sum = visits.reduce((total, { visit }) => total + (overlaps[visit] as number), 0);
      const found = await targets.of(visits, step, policy);
      return { ...found, metrics: { ...found.metrics, gold_overlap: sum / visits.length } };
    },
  };
}
