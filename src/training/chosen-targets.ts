/** Targets that a method chooses visit by visit: the gold answer, or an example of another data set. */
import { TokenFileWriter } from '../data/token-file.ts';
import type { PlannedTraining } from '../plan/plan.ts';
import { allVisits, type Visit } from '../plan/training-plan.ts';
import type { VisitRecord } from '../run/records.ts';
import { type Run, safePoint } from './run.ts';
import { goldRow, readTargets, rowOf, type Targets, writeVisits } from './targets.ts';

/** A function of the visit, asked more than once: the gold answer of its example, or an example, from 0, of a data set. */
export type Choose = (visit: Visit) => 'gold' | { readonly dataset: string; readonly example: number };

type ChosenOptions = { readonly name: string; readonly plan: PlannedTraining; readonly choose: Choose };

/** Write what each visit learns (curriculum.jsonl, targets/), and read it from there. */
export async function chosenTargets(run: Run, { name, plan, choose }: ChosenOptions): Promise<Targets> {
  await safePoint(run);
  const file = `targets/${name}.bin`;
  const placeOf = await gather(run, file, { plan, choose });
  const records = function* (): Generator<VisitRecord> {
    for (const visit of allVisits(plan.order, plan.steps)) {
      const chosen = choose(visit);
      const { epoch } = visit;
      const learned =
        chosen === 'gold'
          ? ({ epoch, example: visit.example, source: 'gold' } as const)
          : ({ epoch, example: chosen.example, source: 'replay' } as const);
      const row = chosen === 'gold' ? visit.example : placeOf(chosen.dataset, chosen.example);
      yield { training: name, ...learned, answers: null, checkpointStep: null, sample: null, row };
    }
  };
  const digest = await writeVisits(run, name, records());
  return readTargets(run, { training: name, tokens: file, digest, visits: plan.visits });
}

/** The gold answers by example, then of every other data set the examples that are chosen, in order; returns the row of one of these. */
async function gather(
  run: Run,
  file: string,
  { plan, choose }: Pick<ChosenOptions, 'plan' | 'choose'>,
): Promise<(dataset: string, example: number) => number> {
  const places = chosenOf(run, plan, choose);
  const { trainExamples } = run.plan.data;
  const all = [...places.values()].reduce((sum, rows) => sum + rows.reduce((n, row) => n + row, 0), 0);
  const writer = await TokenFileWriter.create(run.directory.place(file), trainExamples + all);
  let next = 0;
  try {
    for (; next < trainExamples; next++) await writer.append([await goldRow(run, next)]);
    for (const [dataset, rows] of places)
      for (const [example, isChosen] of rows.entries()) {
        if (isChosen === 0) continue;
        await writer.append([await rowOf(datasetOf(run, dataset), run.config, example)]);
        rows[example] = next++;
      }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return (dataset, example) => places.get(dataset)?.[example] as number;
}

/** By data set: 1 for each example that some visit learns. */
function chosenOf(run: Run, plan: PlannedTraining, choose: Choose): Map<string, Float64Array> {
  const places = new Map<string, Float64Array>();
  for (const visit of allVisits(plan.order, plan.steps)) {
    const chosen = choose(visit);
    if (chosen === 'gold') continue;
    const { dataset, example } = chosen;
    const { rows } = datasetOf(run, dataset);
    if (!(example in rows)) throw new Error(`the data set ${dataset} has no example ${example}`);
    const marks = places.get(dataset) ?? new Float64Array(rows.length);
    places.set(dataset, marks);
    marks[example] = 1;
  }
  return places;
}

function datasetOf(run: Run, name: string) {
  const dataset = run.datasets[name];
  if (dataset === undefined) throw new Error(`there is no data set ${name}`);
  return dataset;
}
