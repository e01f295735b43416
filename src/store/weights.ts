/** Directories of weights: whole by the digest of their files, on one disk only once. */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { linkDirectoryAtomic, sha256OfFile } from '../files/atomic.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { temporaryName } from '../files/temporary-name.ts';
import type { Worker } from '../worker/worker.ts';
import { WorkerError } from '../worker/worker-error.ts';

/** A directory of weights: `files` is the digest of its files, null where it is not known; `digest` that of the tensors. */
export type SavedWeights = {
  readonly path: string;
  readonly files: string | null;
  readonly digest: string | null;
};

type SavedFile = { readonly name: string; readonly bytes: number; readonly sha256: string };

/** A digest of names and contents. */
export function digestOfFiles(files: readonly SavedFile[]): string {
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return sha256OfRecord(sorted.map(({ name, bytes, sha256 }) => [name, bytes, sha256]));
}

/** What is wrong with a directory of weights; null where it is as it was written, or where that is not known. */
export function damageOf({ path, files }: SavedWeights): string | null {
  if (files === null) return null;
  const found = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ parentPath, name }) => describe(path, join(parentPath, name)));
  return digestOfFiles(found) === files ? null : 'its files are not those that were written';
}

/** The same weights under another name, as hard links where one disk has both. False where they are damaged or not there. */
export function linkWeights(from: string, to: SavedWeights): boolean {
  if (!existsSync(from) || damageOf({ ...to, path: from }) !== null) return false;
  if (existsSync(to.path)) {
    if (damageOf(to) === null) return true;
    rmSync(to.path, { recursive: true, force: true });
  }
  linkDirectoryAtomic(from, to.path);
  return true;
}

/** Save what stands in the worker under a name of the store. A run beside this one, or an earlier one that was killed, may have been quicker. */
export async function saveUnlessThere(
  { worker, stopIds }: { readonly worker: Worker; readonly stopIds: readonly number[] },
  path: string,
): Promise<SavedWeights> {
  const save = async (to: string): Promise<SavedWeights> => {
    const { files, weightsDigest } = await worker.save(to, { stopIds });
    return { path, files: digestOfFiles(files), digest: weightsDigest };
  };
  try {
    return await save(path);
  } catch (error) {
    if (!(error instanceof WorkerError && error.data?.reason === 'exists')) throw error;
  }
  const ours = temporaryName(path);
  const saved = await save(ours);
  if (existsSync(path) && damageOf(saved) === null) rmSync(ours, { recursive: true, force: true });
  else {
    rmSync(path, { recursive: true, force: true });
    renameSync(ours, path);
  }
  return saved;
}

function describe(folder: string, file: string): SavedFile {
  return { name: file.slice(folder.length + 1), bytes: statSync(file).size, sha256: sha256OfFile(file) };
}
