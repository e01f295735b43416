/** Fine-tuning with replay, checked against a second writing of it: which visits learn an example of the other file, and which one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { readResults } from '../../src/report/results.ts';
import { curriculumSentences } from '../../src/report/summary.ts';
import { stepsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
  workFolder,
  writeRows,
} from '../support/recorded-run.ts';
import { batchesOf, type Example, fnv, gold, identity, philox, type Visit } from '../support/reference.ts';
import {
  examples,
  expectGradients,
  expectUnbroken,
  goldBatches,
  smallFacts,
  smallRun,
} from '../support/small-run.ts';

const folder = workFolder();
const others: readonly Example[] = Array.from({ length: 6 }, (_, i) => ({
  prompt: `old ${i}`,
  completion: ['xx', 'xy', 'yx', 'yy', 'x', 'y'][i] ?? '',
}));
const columns = { prompt: 'q', completion: 'a' };
const inColumns = others.map(({ prompt, completion }) => ({ q: prompt, a: completion }));
const file = () => writeRows(folder, 'others.jsonl', inColumns);

const replayed = (keys: Settings = {}) =>
  recordRun(
    folder,
    smallRun(folder, { method: 'replay', replay: { dataset_name: file(), columns, ...keys }, tms: {} }),
  );

/** The number of the other example that a visit learns; null for its own. Fewer than 2³² divide the numbers evenly enough here: 6. */
function drawn(visit: Visit, share: number, count: number): number | null {
  const key = [7, fnv('example of another data set')];
  const words = (attempt: number) =>
    philox([visit.epoch, attempt, ...identity(examples[visit.example] as Example)], key) as [
      number,
      number,
      number,
    ];
  const [first, second, third] = words(0);
  if (Number((BigInt(first >>> 5) << 26n) | BigInt(second >>> 6)) / 2 ** 53 >= share) return null;
  expect(third).toBeLessThan(2 ** 32 - (2 ** 32 % count)); // else another number would be drawn
  return third % count;
}

const visits = batchesOf(7, { count: 10, batch: 4, steps: 9 });

describe('a run of method replay', () => {
  it('learns, in a share of the visits, an example of the other file in place of its own', async () => {
    const run = await replayed({ share: 0.4 });
    const steps = stepsOf(run.calls);
    expectUnbroken(steps, run.calls[0]?.weights ?? '');
    const chosen = visits.map(batch => batch.map(visit => drawn(visit, 0.4, 6)));
    const count = chosen.flat().filter(other => other !== null).length;
    expect(count).toBeGreaterThan(5); // 12 ± 2.7 of 30
    expectGradients(
      steps,
      visits.map((batch, step) =>
        batch.map((visit, i) => {
          const other = chosen[step]?.[i] ?? null;
          return gold((other === null ? examples[visit.example] : others[other]) as Example);
        }),
      ),
    );
    const rows = readRows(run.output, 'curriculum.jsonl');
    expect(rows.map(({ source, example }) => [source, example])).toEqual(
      visits.flat().map((visit, i) => {
        const other = chosen.flat()[i] ?? null;
        return other === null ? ['gold', visit.example] : ['replay', other];
      }),
    );
    expect(curriculumSentences(await readResults(run.output))).toEqual([
      `SFT + replay: of 30 visits, ${Math.round((100 * count) / 30)} % trained on an example of another data set, the others on gold.`,
    ]);
    expect(readRecord(run.output, 'plan.json').trainings.replay).toMatchObject({
      trainsOn: 'gold and, in 0.4 of the visits, one of 6 other examples',
      goldShare: 0.6,
    });
  });

  it('is SFT where the share is 0, and learns nothing of its own where it is 1', async () => {
    const none = stepsOf((await replayed({ share: 0 })).calls);
    expectGradients(none, goldBatches(smallFacts, 9));
    const all = stepsOf((await replayed({ share: 1, max_samples: 2 })).calls);
    expectGradients(
      all,
      visits.map(batch => batch.map(visit => gold(others[drawn(visit, 1, 2) as number] as Example))),
    );
  });

  it('needs a file, which must be there and have what the columns say', async () => {
    const configured = (keys: Settings) => {
      const path = join(folder, 'replay.yaml');
      writeFileSync(
        path,
        JSON.stringify(smallRun(folder, { method: 'replay', replay: keys, tms: undefined })),
      );
      return loadConfig(path);
    };
    expect(() => configured({})).toThrow(
      'replay.dataset_name: found nothing, expected a file of examples to replay',
    );
    await expect(replayed({ dataset_name: join(folder, 'nowhere.jsonl') })).rejects.toThrow('nowhere.jsonl');
    await expect(replayed({ columns: { prompt: 'question' } })).rejects.toThrow('question');
  });

  it('goes on after an interruption to the same bytes, but not when the file has changed', async () => {
    const settings = smallRun(folder, {
      method: 'replay',
      replay: { dataset_name: file(), columns },
      tms: {},
    });
    const whole = await recordRun(folder, settings);
    const stopped = await interruptedRun(folder, settings, { verb: 'optimStep', count: 5 });
    writeRows(folder, 'others.jsonl', [...inColumns.slice(1), { q: 'new', a: 'zz' }]);
    const resume = () => recordRun(folder, stopped.settings, { home: stopped.home, resume: true });
    await expect(resume()).rejects.toThrow('the data changed since it began');
    file();
    const { output } = await resume();
    for (const name of ['curriculum.jsonl', 'metrics.jsonl', 'targets/replay.bin'])
      expect(readFileSync(join(output, name)).equals(readFileSync(join(whole.output, name)))).toBe(true);
  });
});
