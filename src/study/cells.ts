/** The cells of a study: each an ordinary run, with its place in the grid. All configurations are checked before anything runs. */
import { basename, join } from 'node:path';
import { resultSettings } from '../config/changed-settings.ts';
import { loadRun } from '../config/import-method.ts';
import type { RunConfig } from '../config/schema.ts';
import { UsageError } from '../errors.ts';
import { sha256OfRecord } from '../files/digest.ts';
import { knownMethods } from '../methods/index.ts';
import { blockOf } from '../methods/method.ts';
import { pointsOf, type Settings } from './points.ts';
import type { StudyFile } from './study-file.ts';

/** Where a cell stands: the method's name in the study, the point of the grid, and which replicate it is. */
export type Place = { readonly method: string; readonly recipe: Settings; readonly replicate: Settings };

export type Cell = Place & {
  /** The name of its directory: its place in words, and a digest of all that its results depend on. */
  readonly id: string;
  readonly config: RunConfig;
  /** Its configuration as it was asked for. */
  readonly input: string;
  /** Cells of the same group may share trainings. */
  readonly group: string;
};

/** The places of a study: replicate by replicate, so that a study that is stopped has compared something. */
function placesOf({ methods, grid, replicates }: StudyFile): (Place & { readonly set: Settings })[] {
  return pointsOf(replicates).flatMap(replicate =>
    methods.flatMap(method =>
      pointsOf(method.grid ?? grid).map(recipe => ({
        method: method.name,
        recipe,
        replicate,
        set: { ...method.set, ...recipe, ...replicate },
      })),
    ),
  );
}

/** Every cell with its checked configuration. `threads`: of cells that do not say. Throws `UsageError` with all that is wrong. */
export async function cellsOf(study: StudyFile, threads: number | null): Promise<Cell[]> {
  const cells: Cell[] = [];
  const faults: { place: Place; error: UsageError }[] = [];
  for (const { set, ...place } of placesOf(study))
    try {
      cells.push(await cellAt(study, place, { set, threads }));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      faults.push({ place, error });
    }
  refuseFaults(faults);
  refuseTwins(cells);
  return cells;
}

/** `TMS α .5, learning_rate 5e-5, seed 0` */
export function placeText({ method, recipe, replicate }: Place): string {
  return [method, settingsText(recipe), settingsText(replicate)].filter(part => part !== '').join(', ');
}

/** `learning_rate 5e-5`, or the `name` of a point that has one. */
export function settingsText(settings: Settings): string {
  if (typeof settings.name === 'string') return settings.name;
  return Object.entries(settings)
    .map(([key, value]) => `${key} ${valueText(value)}`)
    .join(', ');
}

function valueText(value: unknown): string {
  if (typeof value === 'number' && value !== 0 && Math.abs(value) < 1e-3) return value.toExponential();
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

async function cellAt(
  study: StudyFile,
  place: Place,
  { set, threads }: { readonly set: Settings; readonly threads: number | null },
): Promise<Cell> {
  const { name: _, ...asked } = { ...study.set, ...set } as Record<string, unknown>;
  const sets = Object.entries(asked).map(
    ([key, value]) => `${key}=${value === '' ? '' : JSON.stringify(value)}`,
  );
  const { config, input } = await loadRun(study.run, sets);
  const { code } = knownMethods().find(({ key }) => key === config.method) ?? { code: null };
  const settings = resultSettings(config) as Record<string, unknown>;
  const id = idOf(place, sha256OfRecord([settings, code]));
  const worker = { ...config.worker, threads: config.worker.threads ?? threads };
  const placed = { ...config, worker, output_dir: join(study.output_dir, 'cells', id) };
  return { ...place, id, config: placed, input, group: groupOf(settings) };
}

/** What shared trainings cannot differ in: everything but the method and its block. */
function groupOf(settings: Record<string, unknown>): string {
  const own = new Set(['method', 'controls', ...knownMethods().map(({ method }) => blockOf(method))]);
  return sha256OfRecord(Object.entries(settings).filter(([key]) => !own.has(key)));
}

const longestName = 60;

function idOf({ method, recipe, replicate }: Place, digest: string): string {
  const values = [recipe, replicate]
    .flatMap(({ name: _, ...keys }) => Object.values(keys))
    .map(value => basename(valueText(value)));
  const name = [method, ...values]
    .map(part =>
      part
        .toLowerCase()
        .replace(/[^a-z0-9.-]+/g, '-')
        .replace(/^[-.]+|[-.]+$/g, ''),
    )
    .filter(part => part !== '')
    .join('_');
  return `${name.slice(0, longestName)}-${digest.slice(0, 6)}`;
}

/** What many cells have in common is said once. */
function refuseFaults(faults: readonly { readonly place: Place; readonly error: UsageError }[]): void {
  const [first] = faults;
  if (first === undefined) return;
  const texts = [...new Set(faults.map(({ error }) => error.message))].map(message => {
    const [one, ...others] = faults.filter(({ error }) => error.message === message);
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    return `the cell ${placeText((one as typeof first).place)}${more}: ${message}`;
  });
  throw new UsageError(texts.join('\n'), { fix: first.error.fix, cause: first.error });
}

function refuseTwins(cells: readonly Cell[]): void {
  const digestOf = ({ id }: Cell) => id.slice(-6);
  const groups = [...new Set(cells.map(digestOf))].map(digest =>
    cells.filter(cell => digestOf(cell) === digest),
  );
  const texts = groups
    .filter(({ length }) => length > 1)
    .map(twins => `the cells ${twins.map(placeText).join(' and ')} are the same run`);
  if (texts.length > 0)
    throw new UsageError(texts.join('\n'), {
      fix: 'let them differ in a key that changes results, or leave one out',
    });
}
