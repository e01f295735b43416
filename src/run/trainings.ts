/** The trainings of a run as plan.json declares them, and which of them the run was made for. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readRecord } from '../files/read-record.ts';
import { type PlannedTraining, plannedTrainings } from './records.ts';

/** The name of the model before any training. */
export const baseName = 'base';

export type Training = PlannedTraining & { readonly name: string };

/** Those that are declared, in their order, then whatever else was found: nothing that was measured is left out. */
export function listTrainings(
  declared: Readonly<Record<string, PlannedTraining>>,
  found: Iterable<string>,
): Training[] {
  const trainings = Object.entries(declared).map(([name, training]): Training => ({ ...training, name }));
  const others = new Set(found);
  for (const name of [baseName, ...Object.keys(declared)]) others.delete(name);
  return [...trainings, ...[...others].map(undeclared)];
}

function undeclared(name: string): Training {
  const plain = { needs: [], startsFrom: baseName, trainsOn: null, goldShare: null };
  return { name, label: name, role: 'method', ...plain };
}

/** A trained model that lies in the directory of a run. */
export type SavedModel = { readonly training: Training; readonly path: string };

const rolesOfResults = ['method', 'baseline', 'control'] as const;

/** Best first: the last method, the one before it, then baselines. A control by itself is what its run was made for, too. */
function resultOrder(trainings: readonly Training[]): Training[] {
  const of = (role: Training['role']) => trainings.filter(training => training.role === role).toReversed();
  return rolesOfResults.flatMap(of);
}

/** What a run was made for, wherever its model is by now; null where there is no training. */
export function resultTraining(trainings: readonly Training[]): Training | null {
  return resultOrder(trainings)[0] ?? null;
}

/** The nearest to it whose model lies in the directory, for who needs a path. A control is no result beside others; null where there is none. */
export function resultModel(directory: string, trainings: readonly Training[]): SavedModel | null {
  const made = resultTraining(trainings);
  const models = resultOrder(trainings)
    .filter(({ role }) => role !== 'control' || made?.role === 'control')
    .map(training => ({ training, path: join(directory, 'models', training.name) }));
  return models.find(({ path }) => existsSync(path)) ?? null;
}

/** The same from the files of the run alone. A plan that is not there or damaged declares nothing. */
export function findResultModel(directory: string): SavedModel | null {
  const plan = readRecord(join(directory, 'plan.json'), z.object({ trainings: plannedTrainings })).value;
  const models = join(directory, 'models');
  const found = existsSync(models) ? readdirSync(models) : [];
  return resultModel(directory, listTrainings(plan?.trainings ?? {}, found));
}
