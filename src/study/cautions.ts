/** Why numbers of a study may not belong together. Pure. */
import { resultSettings } from '../config/changed-settings.ts';
import { dataSettings } from '../config/data-settings.ts';
import { evaluationSettings } from '../config/evaluation-settings.ts';
import { modelSettings } from '../config/model-settings.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { furtherDatasets } from '../runner/prepare-data.ts';
import { placeText } from './cells.ts';
import { doubtfulSets, type Outcome } from './outcomes.ts';

/**
 * The name of a cell digests what its configuration says, not the files that it names: where their contents changed, finished cells stay
 * as they are, and cells that say the same have measured something else. A sentence for each thing that changed, with the cells.
 */
export function changedInputs(outcomes: readonly Outcome[]): string[] {
  const inOrder = outcomes.toSorted((a, b) => a.run.startedAt.localeCompare(b.run.startedAt));
  const found = inOrder.map(outcome => ({ outcome, inputs: inputsOf(outcome) }));
  const latest = new Map(found.flatMap(({ inputs }) => inputs.map(one => [one.key, one.digest] as const)));
  const earlier = new Map<string, Outcome[]>();
  for (const { outcome, inputs } of found)
    for (const { what, key, digest } of inputs)
      if (latest.get(key) !== digest) earlier.set(what, [...(earlier.get(what) ?? []), outcome]);
  return [...earlier].map(
    ([what, cells]) =>
      `${what} changed after ${namesOf(cells)} had been run: other cells that say the same were run with something else, and what is compared is not only the methods. Remove ${cells.length === 1 ? 'the directory of that cell' : 'the directories of those cells'} and run the study again.`,
  );
}

/** `key`: all that decides what a digest should be; cells that agree in it should agree in the digest. */
type Input = { readonly what: string; readonly key: string; readonly digest: string };

function inputsOf({ cell: { config }, run }: Outcome): Input[] {
  const settings = resultSettings(config) as Record<string, unknown>;
  const valuesOf = (schema: object) => Object.keys(schema).map(key => settings[key]);
  const seeds = [settings.seed, settings.data_seed];
  const isSplitOff = [settings.dataset_test_name, settings.dataset_test_split].every(test => test === null);
  const data = [run.baseDigest, ...valuesOf(dataSettings)];
  const input = (what: string, digest: string, dependsOn: unknown): Input => ({
    ...{ what, digest },
    key: sha256OfRecord([what, dependsOn]),
  });
  return [
    input('the version of tms', run.tmsVersion, null),
    // A new adapter is drawn by the seed.
    input('the base model', run.baseDigest, [valuesOf(modelSettings), settings.use_peft === true && seeds]),
    input('the data', run.dataDigest, [data, furtherDatasets(config), isSplitOff && seeds]),
    ...Object.entries(run.evaluationDigests).map(([name, digest]) =>
      // What the examples and the prompts of the data are depends on the seed; sets do not.
      input(name, digest, [data, valuesOf(evaluationSettings), !name.startsWith('evaluation set ') && seeds]),
    ),
  ];
}

/** Cells whose Δ retention their own report does not trust, with the sets. */
export function endlessAnswers(outcomes: readonly Outcome[]): string[] {
  const found = outcomes.map(outcome => ({
    outcome,
    sets: doubtfulSets(outcome, [outcome.base, outcome.last.record]).join(', '),
  }));
  return [...new Set(found.map(({ sets }) => sets))]
    .filter(sets => sets !== '')
    .map(sets => {
      const cells = found.filter(one => one.sets === sets).map(({ outcome }) => outcome);
      return `too many answers to ${sets} have no end, of the base or of the model of ${namesOf(cells)}: retention with a ? measures who stops, not who knows, and what is claimed or expected of such a number is not measured (retention.max_unfinished_fraction).`;
    });
}

const mostNamed = 4;

function namesOf(cells: readonly Outcome[]): string {
  const names = cells.slice(0, mostNamed).map(({ cell }) => placeText(cell));
  const rest = cells.length - names.length;
  return [...names, ...(rest > 0 ? [`${rest} more`] : [])].join('; ');
}
