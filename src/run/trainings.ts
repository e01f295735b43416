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

/** The model that a run was made for: of the last method, else of the last baseline, that has finished; null where none has. */
export function resultModel(directory: string, trainings: readonly Training[]): SavedModel | null {
  const of = (role: Training['role']) => trainings.filter(training => training.role === role).toReversed();
  const models = [...of('method'), ...of('baseline')].map(training => ({
    training,
    path: join(directory, 'models', training.name),
  }));
  return models.find(({ path }) => existsSync(path)) ?? null;
}

/** The same from the files of the run alone. A plan that is not there or damaged declares nothing. */
export function findResultModel(directory: string): SavedModel | null {
  const plan = readRecord(join(directory, 'plan.json'), z.object({ trainings: plannedTrainings })).value;
  const models = join(directory, 'models');
  const found = existsSync(models) ? readdirSync(models) : [];
  return resultModel(directory, listTrainings(plan?.trainings ?? {}, found));
}
