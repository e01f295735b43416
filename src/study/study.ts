/** A study from beginning to end: its cells, its directory, its pages. */
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { parseOverride } from '../config/overrides.ts';
import { UsageError } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.ts';
import { holdLock } from '../files/lock.ts';
import { readRecord } from '../files/read-record.ts';
import { isMissing } from '../files/user-file.ts';
import { signed } from '../report/format.ts';
import { startWorker } from '../worker/start.ts';
import { analyseStudy, type Study } from './analysis.ts';
import { type CellState, stateOf } from './cell-state.ts';
import { type Cell, cellsOf, placeText } from './cells.ts';
import { type Outcome, outcomeOf, outcomesOf } from './outcomes.ts';
import { type Failure, runStudy, type StudySurroundings } from './run-study.ts';
import { type Expectation, readExpectations, readStudyFile, type StudyFile } from './study-file.ts';

/** What a study is made of, read and checked. */
export type OpenStudy = {
  readonly file: StudyFile;
  readonly input: string;
  readonly jobs: number;
  /** Those that are meant, of all that the study has. */
  readonly cells: readonly Cell[];
  readonly total: number;
  readonly expectations: readonly Expectation[] | null;
};

/** `only`: cells that are meant, as `cellsWith` takes them; none: all; `jobs`: in place of the file's; `sets`: `key=value` for every run. */
export type StudyWishes = {
  readonly jobs: number | null;
  readonly sets: readonly string[];
  readonly only: readonly string[];
  readonly expect: string | null;
};

const placed = z.object({
  id: z.string(),
  method: z.string(),
  recipe: z.record(z.string(), z.unknown()),
  replicate: z.record(z.string(), z.unknown()),
});
/** cells.json: what `tms study status` reads, and how many threads cells compute with, which later cells keep to. */
const cellList = z.object({ threads: z.int().nullable(), cells: z.array(placed) });

/** Read a study, check every cell of it, and note them in cells.json; nothing is run. */
export async function openStudy(path: string, { jobs, sets, only, expect }: StudyWishes): Promise<OpenStudy> {
  const { study, input } = readStudyFile(path);
  const file = { ...study, set: { ...study.set, ...settingsIn(sets, study) } };
  const expectations = expect === null ? null : readExpectations(expect, file);
  const atOnce = jobs ?? file.jobs ?? file.gpus?.length ?? usualJobs();
  const noted = readRecord(listPath(file.output_dir), cellList).value;
  const own = Math.max(1, Math.floor(availableParallelism() / atOnce));
  const threads = noted !== null ? noted.threads : file.gpus === null ? own : null;
  const all = await cellsOf(file, threads);
  const none = only.filter(text => cellsWith(all, [text]).length === 0);
  if (none.length > 0)
    throw new UsageError(`no cell of ${path} has ${none.join(' or ')} in its place`, {
      fix: `choose parts of a place such as: ${placeText(all[0] as Cell)}`,
    });
  writeList(file.output_dir, threads, all);
  return { file, input, jobs: atOnce, cells: cellsWith(all, only), total: all.length, expectations };
}

/** As `set` of a study has them. Throws `UsageError` for a key that methods, grid or replicates have: theirs would count. */
function settingsIn(
  sets: readonly string[],
  { methods, grid, replicates }: StudyFile,
): Record<string, unknown> {
  const varied = [
    ...methods.map(({ set }) => set),
    ...methods.map(one => one.grid ?? {}),
    grid,
    replicates,
  ].flatMap(axes => (Array.isArray(axes) ? axes : [axes]).flatMap(Object.keys));
  const entries = sets
    .map(parseOverride)
    .map(({ path, value }) => [path.join('.'), value === undefined ? '' : value] as const);
  const lost = entries.map(([key]) => key).filter(key => varied.includes(key));
  if (lost.length > 0)
    throw new UsageError(
      `--set ${lost.join(', ')}: methods, grid or replicates of the study say that, and theirs counts`,
      {
        fix: 'change it in the study file',
      },
    );
  return Object.fromEntries(entries);
}

/** Those whose place has every part of one of the texts; parts are set apart by commas, as in a place. */
export function cellsWith(cells: readonly Cell[], only: readonly string[]): readonly Cell[] {
  if (only.length === 0) return cells;
  const wanted = only.map(text => text.split(',').map(part => part.trim()));
  const hasAll = (cell: Cell, parts: readonly string[]) =>
    parts.every(part => placeText(cell).includes(part));
  return cells.filter(cell => wanted.some(parts => hasAll(cell, parts)));
}

const mostJobs = 4;

/** As many as there are cores, up to four; one where there is a GPU that no `gpus` shares out. */
function usualJobs(): number {
  return existsSync('/dev/nvidia0') ? 1 : Math.min(mostJobs, availableParallelism());
}

function listPath(directory: string): string {
  return join(directory, 'cells.json');
}

function writeList(directory: string, threads: number | null, cells: readonly Cell[]): void {
  mkdirSync(directory, { recursive: true });
  const list = cells.map(({ id, method, recipe, replicate }) => ({ id, method, recipe, replicate }));
  writeFileAtomic(listPath(directory), `${JSON.stringify({ threads, cells: list }, null, 2)}\n`);
}

export type StudyCell = z.infer<typeof placed> & { readonly state: CellState };

/** The cells of a study by its directory alone. Throws `UsageError` where there is none. */
export function studyStatus(directory: string): StudyCell[] {
  const { value, damage } = readRecord(listPath(directory), cellList);
  if (value === null)
    throw new UsageError(`${directory} holds no study: ${damage ?? 'there is no cells.json'}`, {
      fix: 'name the output_dir of a study',
    });
  return value.cells.map(cell => ({ ...cell, state: stateOf(join(directory, 'cells', cell.id)) }));
}

export type StudyRun = Pick<StudySurroundings, 'home' | 'progress' | 'signal' | 'tmsVersion'>;

/** Run every cell that is not finished. */
export async function runCells({ file, input, jobs, cells }: OpenStudy, run: StudyRun): Promise<Failure[]> {
  const { output_dir: path, gpus } = file;
  refuseMissingModels(cells);
  const release = holdLock(join(path, 'lock'), `the study ${path}`);
  try {
    writeFileAtomic(join(path, 'study.input.yaml'), input);
    return await runStudy(
      { output_dir: path, cells },
      {
        ...run,
        jobs,
        startWorker: (slot, { config }) =>
          startWorker({
            python: config.worker.python ?? undefined,
            report: line => run.progress.say(line),
            ...(gpus !== null && { env: { CUDA_VISIBLE_DEVICES: String(gpus[slot % gpus.length]) } }),
          }),
        onFinished: async cell => finishedText(await outcomeOf(cell), stateOf(cell.config.output_dir)),
      },
    );
  } finally {
    release();
  }
}

/** Before the first cell begins, and not when the turn comes to the last one. */
function refuseMissingModels(cells: readonly Cell[]): void {
  const left = cells.filter(({ config }) => stateOf(config.output_dir).status !== 'finished');
  const names = new Set(left.map(({ config }) => config.model_name_or_path).filter(isMissing));
  if (names.size === 0) return;
  const count = left.filter(({ config }) => names.has(config.model_name_or_path)).length;
  throw new UsageError(`there is no model at ${[...names].join(' and ')}, which ${count} cells begin with`, {
    fix: 'make it, name another one, or choose the other cells with --only',
  });
}

function finishedText(outcome: Outcome | null, { seconds }: CellState): string {
  const { target, change } = outcome?.last.point ?? { target: null, change: null };
  return [
    ...(target === null ? [] : [`target ${target.mean.toFixed(3)}`]),
    ...(change === null ? [] : [`Δ retention ${signed(change.mean)}`]),
    `${Math.round(seconds ?? 0)} s`,
  ].join(', ');
}

/** What the finished cells show. */
export async function studyOf(
  { file, cells, total, expectations }: OpenStudy,
  { command, tmsVersion }: { readonly command: string; readonly tmsVersion: string },
): Promise<Study> {
  const states = cells.map(cell => [cell, stateOf(cell.config.output_dir)] as const);
  const finished = states.filter(([, { status }]) => status === 'finished');
  const outcomes = await outcomesOf(finished.map(([cell]) => cell));
  const name = file.name ?? basename(file.output_dir);
  return analyseStudy(outcomes, { file, name, command, tmsVersion, states, total, expectations });
}
