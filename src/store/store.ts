/**
 * What runs share, below `TMS_HOME/store`: weights of the checkpoints of an SFT stage, sampled answers, evaluations. Everything is
 * named by a digest of all that it depends on, so a hit is as good as doing the work again.
 *
 *     sft/<key>/step-000123/       weights of a checkpoint, a Hugging Face directory
 *     sft/<key>/finished.json      metrics of the whole stage: another run need not train it again
 *     answers/<key>.jsonl          answers of one set of weights under one way of sampling
 *     evaluations/<key>.json       one evaluation of one set of weights
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../files/atomic.ts';
import { metricsLine } from '../run/records.ts';

const finishedStage = z.strictObject({
  steps: z.int(),
  weightsDigests: z.record(z.string(), z.string()),
  metrics: z.array(metricsLine),
  /** For people: what the key stands for. */
  recipe: z.unknown(),
});
export type FinishedStage = z.infer<typeof finishedStage>;

export type Store = { readonly root: string };

export function openStore(home: string): Store {
  const root = join(home, 'store');
  for (const folder of ['sft', 'answers', 'evaluations']) mkdirSync(join(root, folder), { recursive: true });
  return { root };
}

export function checkpointPath({ root }: Store, key: string, step: number): string {
  return join(root, 'sft', key, stepName(step));
}

export function stepName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** Null when no run finished this stage, or its record cannot be read. */
export function readFinishedStage({ root }: Store, key: string): FinishedStage | null {
  return readJson(join(root, 'sft', key, 'finished.json'), finishedStage);
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
  readonly kind: 'sft' | 'answers' | 'evaluations';
  readonly name: string;
  readonly bytes: number;
  readonly usedAt: Date;
};

/** Everything in the store, the longest unused first. */
export function listStore({ root }: Store): StoreItem[] {
  const items = (['sft', 'answers', 'evaluations'] as const).flatMap(kind =>
    readdirSync(join(root, kind))
      .filter(name => !name.endsWith('.part'))
      .map(name => ({ kind, name, ...usage(join(root, kind, name)) })),
  );
  return items.toSorted((a, b) => a.usedAt.getTime() - b.usedAt.getTime());
}

export function removeFromStore({ root }: Store, { kind, name }: StoreItem): void {
  rmSync(join(root, kind, name), { recursive: true, force: true });
}

function usage(path: string): { bytes: number; usedAt: Date } {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return { bytes: 0, usedAt: new Date(0) }; // a run just renamed it
  const { size, mtime } = found;
  if (!found.isDirectory()) return { bytes: size, usedAt: mtime };
  const parts = readdirSync(path).map(name => usage(join(path, name)));
  return {
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
    usedAt: parts.reduce((latest, part) => (part.usedAt > latest ? part.usedAt : latest), mtime),
  };
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | null {
  if (!existsSync(path)) return null;
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null; // damaged: the work is done again and the file replaced
  }
}
