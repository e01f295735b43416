/**
 * What runs share, below `TMS_HOME/store`: weights of the checkpoints of an SFT stage, sampled answers, evaluations. Everything is
 * named by a digest of all that it depends on, so a hit is as good as doing the work again.
 *
 *     sft/<key>/step-000123/       weights of a checkpoint, a Hugging Face directory
 *     sft/<key>/finished.json      metrics of the whole stage: another run need not train it again
 *     answers/<key>.jsonl          answers of one set of weights under one way of sampling
 *     evaluations/<key>.json       one evaluation of one set of weights
 *
 * Beside it, in `TMS_HOME/cache`, what is made from data files: token ids, unpacked copies.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { makePrivate, writeFileAtomic } from '../files/atomic.ts';
import { readRecord } from '../files/read-record.ts';
import { isAbandoned, isTemporaryName } from '../files/temporary-name.ts';
import { metricsLine } from '../run/records.ts';

const finishedStage = z.strictObject({
  steps: z.int(),
  weightsDigests: z.record(z.string(), z.string()),
  metrics: z.array(metricsLine),
  /** For people: what the key stands for. */
  recipe: z.unknown(),
});
export type FinishedStage = z.infer<typeof finishedStage>;

export type Store = { readonly root: string; readonly cache: string };

export function openStore(home: string): Store {
  const store = storeOf(home);
  makePrivate(home); // training data and answers are in it
  const folders = ['sft', 'answers', 'evaluations'].map(kind => join(store.root, kind));
  for (const folder of [...folders, store.cache]) mkdirSync(folder, { recursive: true });
  return store;
}

/** Where the store of a home is, whether it is there or not. */
export function storeOf(home: string): Store {
  return { root: join(home, 'store'), cache: join(home, 'cache') };
}

export function checkpointPath({ root }: Store, key: string, step: number): string {
  return join(root, 'sft', key, stepName(step));
}

export function stepName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** Null when no run finished this stage, or its record cannot be read. */
export function readFinishedStage({ root }: Store, key: string): FinishedStage | null {
  return readRecord(join(root, 'sft', key, 'finished.json'), finishedStage).value; // damaged: trained again, and replaced
}

export function writeFinishedStage({ root }: Store, key: string, stage: FinishedStage): void {
  writeFileAtomic(join(root, 'sft', key, 'finished.json'), `${JSON.stringify(stage)}\n`);
}

export function answersPath({ root }: Store, key: string): string {
  return join(root, 'answers', `${key}.jsonl`);
}

export function evaluationPath({ root }: Store, key: string): string {
  return join(root, 'evaluations', `${key}.json`);
}

export type StoreItem = {
  /** `unfinished`: what a killed process had begun to write. */
  readonly kind: 'sft' | 'answers' | 'evaluations' | 'cache' | 'unfinished';
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
  const items = (['sft', 'answers', 'evaluations', 'cache'] as const).flatMap(kind => {
    const folder = kind === 'cache' ? cache : join(root, kind);
    return namesIn(folder)
      .filter(name => !isTemporaryName(name) && (kind !== 'cache' || cacheName.test(name)))
      .map(name => itemOf(kind, folder, name));
  });
  return [...items, ...unfinished(store)].toSorted((a, b) => a.usedAt.getTime() - b.usedAt.getTime());
}

export function removeFromStore({ path }: StoreItem): void {
  rmSync(path, { recursive: true, force: true });
}

/** In the home itself, in the store and one level below each kind; what a living process writes is none. */
function unfinished({ root, cache }: Store): StoreItem[] {
  const kinds = [...namesIn(root).map(name => join(root, name)), cache];
  const stages = namesIn(join(root, 'sft')).map(name => join(root, 'sft', name));
  return [dirname(root), root, ...kinds, ...stages].flatMap(folder =>
    namesIn(folder)
      .filter(isTemporaryName)
      .map(name => itemOf('unfinished', folder, name))
      .filter(({ name, usedAt }) => isAbandoned(name, usedAt)),
  );
}

function itemOf(kind: StoreItem['kind'], folder: string, name: string): StoreItem {
  const path = join(folder, name);
  return { kind, name, path, ...usage(path) };
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a file, or not there
  }
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
