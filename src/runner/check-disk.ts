/** Whether a run fits on the disk, and the facts that tell. */
import { readdirSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { seekableFile } from '../data/open-file.ts';
import { TmsError } from '../errors.ts';
import { fileOf, type SetSettings } from '../evaluation/read-set.ts';
import { formatBytes } from '../plan/describe.ts';
import { type DiskFacts, evaluationBytes } from '../plan/disk.ts';
import type { Plan } from '../plan/plan.ts';
import type { ModelInfo } from '../worker/protocol.ts';

/** What the plan needs to bound the disk that a run takes. */
export async function diskFacts(config: RunConfig, model: ModelInfo, cache: string): Promise<DiskFacts> {
  return {
    model: {
      trainableParameters: model.trainableParameterCount,
      // Adapters are kept in float32 whatever the weights are.
      bytesPerWeight: config.dtype === 'bfloat16' && !config.use_peft ? 2 : 4,
      fileBytes: filesBesideWeights(config.model_name_or_path),
      vocabSize: model.vocabSize,
    },
    evaluationBytes: evaluationBytes(config, await itemCounts(config, cache)),
  };
}

/** Tokenizers of tens of megabytes exist; of a model that lies in no directory of ours nothing is known. */
const unknownFiles = 40e6;
/** Headers of weight files, and what a save adds. */
const spareBytes = 1e6;
const weightFiles = /\.(safetensors|bin|pt|pth|gguf|msgpack|h5)$/;

function filesBesideWeights(model: string): number {
  if (!statSync(model, { throwIfNoEntry: false })?.isDirectory()) return unknownFiles;
  const names = readdirSync(model).filter(name => !weightFiles.test(name));
  const sizes = names.map(name => statSync(join(model, name), { throwIfNoEntry: false })?.size ?? 0);
  return spareBytes + sizes.reduce((sum, size) => sum + size, 0);
}

/** Items of each evaluation set; a file that cannot be read has none here, and is refused when it is needed. */
async function itemCounts(config: RunConfig, cache: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const set of [...config.eval.sets, ...config.retention.sets]) {
    const found = await linesOf(set, cache).catch(() => 0);
    counts.set(set.name, Math.min(found, set.limit ?? found));
  }
  return counts;
}

async function linesOf(set: SetSettings, cache: string): Promise<number> {
  return (await seekableFile(fileOf(set), cache)).lines;
}

/** Where a run writes, and whether its checkpoints lie in the store already. */
export type DiskPlaces = { readonly output: string; readonly home: string; readonly hasCheckpoints: boolean };

/** Refuse a run that the disks of its directory and of the store cannot hold. */
export function checkDisk({ disk }: Pick<Plan, 'disk'>, { output, home, hasCheckpoints }: DiskPlaces): void {
  if (disk === null) return;
  const inStore = disk.inStoreAtMost - (hasCheckpoints ? disk.checkpointBytes : 0);
  const [run, store] = [existingParent(output), existingParent(home)];
  const isShared = statSync(run).dev === statSync(store).dev;
  if (isShared) refuseFull(output, run, disk.inRunAtMost + inStore);
  else {
    refuseFull(output, run, disk.inRunAtMost);
    refuseFull(home, store, inStore);
  }
}

function refuseFull(place: string, folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new TmsError(
    `the disk of ${place} has ${formatBytes(free)} free, and this run may take ${formatBytes(bytes)}`,
    {
      fix: 'free some space (`tms store prune`), lower tms.num_checkpoints, set tms.keep_checkpoints: false, or choose another output_dir',
    },
  );
}

function existingParent(path: string): string {
  try {
    statfsSync(path);
    return path;
  } catch {
    return existingParent(dirname(path));
  }
}
