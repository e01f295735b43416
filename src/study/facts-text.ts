/** What was run in a study, on what, when, and what of it is there. Pure. */
import { counted, duration } from '../report/format.ts';
import { selectionNote } from '../report/selection-sets.ts';
import type { Study } from './analysis.ts';
import { levelsOf } from './points.ts';
import { keyOf } from './quantities.ts';

/** What was run, and what of it is there. */
export function studyFacts(study: Study): string[] {
  const { cells, environment, begun, ended, trainings } = study;
  const seconds = cells.reduce((sum, { state }) => sum + (state.seconds ?? 0), 0);
  const finished = cells.filter(({ state }) => state.status === 'finished');
  const replicates = new Set(finished.map(({ replicate }) => keyOf(replicate))).size;
  return [
    `Command: ${study.command}`,
    wholeText(study),
    ...study.cautions.map(text => `Caution: ${text}`),
    `Replicates: ${replicates} (${cells.length === 0 ? '' : replicateKeys(study)}).`,
    ...(begun === null ? [] : [timeText(begun, ended, seconds)]),
    `Of ${counted(trainings.all, 'training')} ${trainings.stored} came from the store, where another cell had left them.`,
    ...selectionNote(study.selectionSets),
    ...(environment === null ? [] : [environmentText(study.tmsVersion, environment)]),
  ];
}

/** Nobody is to take a part for the whole. */
function wholeText({ cells, total }: Study): string {
  const of = (status: string) => cells.filter(({ state }) => state.status === status).length;
  const [finished, failed] = [of('finished'), of('failed')];
  if (finished === total) return `All ${counted(total, 'cell')} of the study have finished.`;
  const chosen = cells.length === total ? '' : ` (${cells.length} were chosen by --only)`;
  return `This is a part of the study: ${finished} of its ${counted(total, 'cell')} have finished${chosen}${failed === 0 ? '' : `, ${failed} failed`}. What follows is of those alone.`;
}

function replicateKeys({ cells }: Study): string {
  const keys = new Set(cells.flatMap(({ replicate: { name: _, ...keys } }) => Object.keys(keys)));
  return `by ${[...keys].join(', ')}`;
}

function timeText(begun: string, ended: string | null, seconds: number): string {
  const wall =
    ended === null
      ? ''
      : `, last ended ${ended}: ${duration((Date.parse(ended) - Date.parse(begun)) / 1000)}`;
  return `First begun ${begun}${wall}; the cells took ${duration(seconds)} in all.`;
}

function environmentText(version: string, environment: NonNullable<Study['environment']>): string {
  const { versions, device, threads, platform, node, git } = environment;
  const packages = ['python', 'torch', 'transformers'].flatMap(name =>
    versions[name] === undefined ? [] : [`${name} ${versions[name]}`],
  );
  const commit =
    git === null ? [] : [`commit ${git.commit.slice(0, 12)}${git.isDirty ? ' with changes' : ''}`];
  const parts = [
    `tms ${version}`,
    ...commit,
    ...packages,
    `node ${node}`,
    `${device}, ${counted(threads, 'thread')} a cell`,
    platform,
  ];
  return `${parts.join(', ')}.`;
}

/** Nine replicates of three bases are not nine bases. */
export function crossedNotes({ cells }: Study): string[] {
  const replicates = new Map(cells.map(({ replicate }) => [JSON.stringify(replicate), replicate]));
  const levels = levelsOf([...replicates.values()]).map(({ key, values }) => ({
    key,
    count: new Set(values).size,
  }));
  if (levels.every(({ count }) => count === replicates.size)) return [];
  const texts = levels.map(({ key, count }) => `the ${count} of ${key}`);
  return [
    `Replicates share values of their keys, so t is not over all ${replicates.size}: it is the outer one of t over the means at ${texts.join(' and at ')}.`,
  ];
}
