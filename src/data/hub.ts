/** Splits of data sets of the Hugging Face hub, and of directories of the same layout, as JSON lines in the cache. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../files/atomic.ts';
import { readRecord } from '../files/read-record.ts';
import { temporaryName } from '../files/temporary-name.ts';
import { type LazySide, lazySide } from '../python/lazy-side.ts';
import { PythonError } from '../python/side.ts';
import { DataError } from './data-error.ts';
import { countLines } from './json-lines.ts';

/** `path`: a hub id, or a directory. */
export type HubSplit = {
  readonly path: string;
  /** The configuration; null: the only one, or the default. */
  readonly name?: string | null | undefined;
  readonly split: string;
  /** Branch, tag or commit; null: main. A directory has none. */
  readonly revision?: string | null | undefined;
  /** Stream the first so many rows instead of fetching all; null: all. */
  readonly firstRows?: number | null | undefined;
};

/** `revision`: the commit; null of a directory. */
export type FetchedSplit = { readonly file: string; readonly revision: string | null; readonly rows: number };

/** Where copies lie, and which Python fetches them. */
export type FetchPlace = {
  readonly cacheDirectory: string;
  /** As for `tms run --python`: by default what `tms setup` made. */
  readonly python?: string | undefined;
  readonly say?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Fetch splits once, by one process of Python: the same rows are then found without Python, and for a commit without a network. Throws `DataError`. */
export async function fetchSplits(splits: readonly HubSplit[], place: FetchPlace): Promise<FetchedSplit[]> {
  const { python, say: report, signal } = place;
  const hub = lazySide('hub_data.py', { python, report, signal });
  try {
    const fetched: FetchedSplit[] = [];
    for (const split of splits) fetched.push(await fetchOne(hub, split, place));
    return fetched;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof PythonError)) throw error;
    const fix = error.fix ?? 'load it with datasets.load_dataset in Python to see more';
    throw new DataError(error.message, { fix, cause: error });
  } finally {
    await hub.close();
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

async function fetchOne(hub: LazySide, split: HubSplit, place: FetchPlace): Promise<FetchedSplit> {
  const { cacheDirectory, say = () => {} } = place;
  const isLocal = isDirectory(split.path);
  const commit = isLocal ? null : await commitOf(hub, split, place);
  const version = commit ?? versionOf(split.path);
  const { path, name = null, firstRows = null } = split;
  const key = digestOf([isLocal ? resolve(path) : path, name, split.split, version, firstRows]);
  const file = join(cacheDirectory, `${labelOf(split)}-${key}.jsonl`);
  const what = `${path}${name === null ? '' : ` (${name})`}, split ${split.split}${commit === null ? '' : `, at ${commit.slice(0, 12)}`}`;
  mkdirSync(cacheDirectory, { recursive: true });
  const isThere = existsSync(file);
  if (isThere) utimesSync(file, new Date(), new Date());
  else {
    say(`fetching ${what}`);
    const temporary = temporaryName(file);
    const args = { path, name, split: split.split, revision: commit, rows: firstRows, out: temporary };
    try {
      await hub.call('write_split', args, z.object({ rows: z.number(), columns: z.array(z.string()) }));
      renameSync(temporary, file);
    } finally {
      rmSync(temporary, { force: true });
    }
  }
  const rows = await countLines(file);
  say(`${what}: ${rows} rows, ${file}`);
  return { file, revision: commit, rows };
}

const commitPattern = /^[0-9a-f]{40}$/;
const refRecord = z.strictObject({ commit: z.string(), at: z.string() });

/** What was found before is taken where the hub cannot be asked. */
async function commitOf(hub: LazySide, { path, revision }: HubSplit, place: FetchPlace): Promise<string> {
  const wanted = revision ?? 'main';
  if (commitPattern.test(wanted)) return wanted;
  const ref = join(place.cacheDirectory, `hub-revision-${digestOf([path, wanted])}.jsonl`);
  try {
    const commit = await hub.call('commit_of', { path, revision: wanted }, z.string());
    writeFileAtomic(ref, `${JSON.stringify({ commit, at: new Date().toISOString() })}\n`);
    return commit;
  } catch (error) {
    const known =
      error instanceof PythonError && error.type === 'unreachable' ? readRecord(ref, refRecord) : null;
    if (known?.value === undefined || known.value === null) throw error;
    place.say?.(
      `warning: the hub cannot be asked now: taking ${path} as it was on ${known.value.at.slice(0, 10)}`,
    );
    return known.value.commit;
  }
}

/** Changes with the names, sizes and times of the files of a directory. */
function versionOf(directory: string): string {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter(entry =>
    entry.isFile(),
  );
  const facts = files.map(entry => {
    const file = join(entry.parentPath, entry.name);
    const { size, mtimeMs } = statSync(file);
    return [file, size, mtimeMs];
  });
  return digestOf(facts.sort());
}

function digestOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

/** The part of a file's name that people read. */
function labelOf({ path, name, split }: HubSplit): string {
  const words = [basename(resolve(path)), name ?? '', split].filter(word => word !== '').join('-');
  return words.replaceAll(/[^\w.-]+/g, '_').slice(0, 80);
}
