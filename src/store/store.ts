/**
 * What runs share, below `TMS_HOME/store`: weights that a training passed through, sampled answers, evaluations. Everything is named by
 * a digest of all that it depends on, so a hit is as good as doing the work again; everything is read by a digest of what it holds, so
 * damage is a miss.
 *
 *     trainings/<key>/step-000123/     weights, a Hugging Face directory
 *     trainings/<key>/finished.json    metrics of the whole training: another run need not train it again
 *     answers/<key>.jsonl              answers of one set of weights under one way of sampling
 *     evaluations/<key>.json           one evaluation of one set of weights
 *
 * Beside it, in `TMS_HOME/cache`, what is made from data files: token ids, unpacked copies.
 */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { makePrivate } from '../files/atomic.ts';
import { readChecked, writeChecked } from '../files/read-record.ts';
import { isTemporaryName } from '../files/temporary-name.ts';
import { metricsLine, stepName } from '../run/records.ts';
import { touch } from './in-use.ts';
import { leftoversIn, namesIn } from './leftovers.ts';

const finished = z.strictObject({
  steps: z.int(),
  /** Of the steps whose weights are kept: digests of the tensors, and of the files. */
  weights: z.record(z.string(), z.strictObject({ digest: z.string(), files: z.string() })),
  /** Digests of the tensors at further steps: what was measured of them is found by it. */
  digests: z.record(z.string(), z.string()),
  metrics: z.array(metricsLine),
  /** For people: what the key stands for. */
  recipe: z.unknown(),
});
export type FinishedTraining = z.infer<typeof finished>;

export type Store = { readonly root: string; readonly cache: string };

export function openStore(home: string): Store {
  const store = storeOf(home);
  makePrivate(home); // training data and answers are in it
  const folders = ['trainings', 'answers', 'evaluations'].map(kind => join(store.root, kind));
  for (const folder of [...folders, store.cache]) mkdirSync(folder, { recursive: true });
  return store;
}

/** Where the store of a home is, whether it is there or not. */
export function storeOf(home: string): Store {
  return { root: join(home, 'store'), cache: join(home, 'cache') };
}

/** Where the weights of a training lie at a step. */
export function weightsPath({ root }: Store, key: string, step: number): string {
  return join(root, 'trainings', key, stepName(step));
}

/** Null where no run finished this training, its record cannot be read, or its last weights are gone: it is trained then, and replaced. */
export function finishedTraining(
  store: Store,
  key: string,
  { steps }: { readonly steps: number },
): FinishedTraining | null {
  const { value } = readChecked(finishedPath(store, key), finished);
  const end = weightsPath(store, key, steps);
  if (value === null || value.steps !== steps || !(steps in value.weights) || !existsSync(end)) return null;
  touch(end);
  return value;
}

/** The same for a person who looks at the store. */
export function describedTraining(store: Store, key: string): FinishedTraining | null {
  return readChecked(finishedPath(store, key), finished).value;
}

export function keepFinished(store: Store, key: string, training: FinishedTraining): void {
  writeChecked(finishedPath(store, key), training);
}

function finishedPath({ root }: Store, key: string): string {
  return join(root, 'trainings', key, 'finished.json');
}

export function answersPath({ root }: Store, key: string): string {
  return join(root, 'answers', `${key}.jsonl`);
}

export function evaluationPath({ root }: Store, key: string): string {
  return join(root, 'evaluations', `${key}.json`);
}

export type StoreItem = {
  /** `unfinished`: what a killed process had begun to write. */
  readonly kind: 'trainings' | 'answers' | 'evaluations' | 'cache' | 'unfinished';
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly usedAt: Date;
};

/** TMS_HOME may be any folder: a `cache` in it may hold other things too. */
const cacheName = /^tokens-[0-9a-f]{64}\.bin$|-[0-9a-f]{16}\.jsonl$/;

/** Everything in the store, the longest unused first. */
export function listStore(store: Store): StoreItem[] {
  const { root, cache } = store;
  const items = (['trainings', 'answers', 'evaluations', 'cache'] as const).flatMap(kind => {
    const folder = kind === 'cache' ? cache : join(root, kind);
    return namesIn(folder)
      .filter(name => !isTemporaryName(name) && (kind !== 'cache' || cacheName.test(name)))
      .map(name => itemOf(kind, folder, name));
  });
  return [...items, ...leftoversIn(store).map(unfinished)].toSorted(
    (a, b) => a.usedAt.getTime() - b.usedAt.getTime(),
  );
}

export function removeFromStore({ path }: StoreItem): void {
  rmSync(path, { recursive: true, force: true });
}

function unfinished(path: string): StoreItem {
  return itemOf('unfinished', dirname(path), basename(path));
}

function itemOf(kind: StoreItem['kind'], folder: string, name: string): StoreItem {
  const path = join(folder, name);
  return { kind, name, path, ...usage(path) };
}

function usage(path: string): { bytes: number; usedAt: Date } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return { bytes: 0, usedAt: new Date(0) }; // a run just renamed it
  const { size, mtime } = found;
  if (!found.isDirectory()) return { bytes: size, usedAt: mtime };
  const parts = namesIn(path)
    .filter(name => !isTemporaryName(name))
    .map(name => usage(join(path, name)));
  return {
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
    usedAt: parts.reduce((latest, part) => (part.usedAt > latest ? part.usedAt : latest), mtime),
  };
}
