/** What a run did itself, beside what it found in the store: which trainings, whose answers, whose evaluations. */
import { cpSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Channel } from '../../src/worker/channel.ts';
import { callsOf, stepsOf } from './recorded-calls.ts';
import {
  filesIn,
  pick,
  type RecordedRun,
  readRecord,
  readRows,
  recordRun,
  type Settings,
} from './recorded-run.ts';

/** Each a list in the order of the work, such as `sft student`, `sft 3, sft 6`, `base 0, sft 9`; '' is nothing. */
export type Done = {
  readonly encoded: boolean;
  readonly trained: string;
  readonly answered: string;
  readonly measured: string;
};

/** By its notes, which must agree with the steps that the worker was asked for. */
export function doneIn({ output, calls }: RecordedRun): Done {
  const units: { kind: string; unit: string }[] = readRows(output, 'timing.jsonl');
  const of = (kind: string, pattern: RegExp) => [
    ...new Set(
      units
        .filter(line => line.kind === kind)
        .flatMap(({ unit }) => pattern.exec(unit)?.slice(1).join(' ') ?? []),
    ),
  ];
  const trained = of('train', /^train (\S+) \d+$/);
  const { trainings } = readRecord(output, 'plan.json');
  const planned = trained.reduce((sum, name) => sum + trainings[name].steps, 0);
  const taken = stepsOf(calls).length;
  if (taken !== planned) throw new Error(`${taken} steps were taken, ${planned} are those of ${trained}`);
  return {
    encoded: callsOf(calls, 'encode').some(({ params }) => params.examples[0]?.completion !== null),
    trained: trained.join(' '),
    answered: of('answer', /^answers of (.+?)(?: at step (\d+))?$/)
      .join(', ')
      .trim(),
    measured: of('evaluate', /^evaluate (\S+) (\d+)$/).join(', '),
  };
}

/**
 * Run on a copy of what an earlier run left in `home`, and on nothing: what was done with the store at hand. Throws where the results of
 * the two differ: something old was taken for new.
 */
export async function doneOver(
  home: string,
  { folder, settings, channel }: { folder: string; settings: Settings; channel?: Channel },
): Promise<Done> {
  const copy = mkdtempSync(join(folder, 'home-'));
  cpSync(home, copy, { recursive: true });
  const run = (at?: string) =>
    recordRun(folder, settings, { ...(at && { home: at }), ...(channel && { channel }) });
  const [second, fresh] = [await run(copy), await run()];
  const [found, right] = [resultsIn(second.output), resultsIn(fresh.output)];
  const stale = Object.keys({ ...found, ...right }).filter(name => found[name] !== right[name]);
  if (stale.length > 0) throw new Error(`with the store at hand ${stale.join(', ')} are other than without`);
  return doneIn(second);
}

/** All that must not depend on what lay in the store. */
function resultsIn(output: string): Record<string, string> {
  return pick(filesIn(output), name =>
    /^(metrics|curriculum)\.jsonl$|^(evaluation|models|answers|targets)\//.test(name),
  );
}
