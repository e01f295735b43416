/** Suites by name, as the evaluation sets that they stand for. Pure. */
import { hubPath, type TaskName, taskNamed, taskNames } from '../tasks/index.ts';
import { applyOverrides } from './overrides.ts';
import { type Path, type Problem, show, valueAt } from './problems.ts';
import { nearest } from './suggest.ts';

/** The path of a set whose task comes with lm-eval. */
export const withLmEval = 'lm_eval';

const lmEvalPrefix = 'lm_eval:';
const blocks = ['eval', 'retention'] as const;

type Finding = Omit<Problem, 'line' | 'path'>;
/** A name, or a block of keys of an evaluation set with the suite's name. */
export type SuiteEntry = string | Readonly<Record<string, unknown>> | null;

/** The set that an entry stands for, where `folder` has the data of those that name no path; or what is wrong with the entry. */
export function setOfSuite(
  entry: SuiteEntry,
  folder: string | null,
): { readonly set: Readonly<Record<string, unknown>> } | { readonly problem: Finding } {
  const { name, ...rest } = typeof entry === 'string' ? { name: entry } : (entry ?? {});
  if (typeof name !== 'string') return { problem: { ...unnamed, found: show(entry) } };
  if (name.startsWith(lmEvalPrefix)) {
    const task = name.slice(lmEvalPrefix.length);
    const label = `lm_eval-${task.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-')}`;
    return { set: { name: label, lm_eval: task, path: withLmEval, ...rest } };
  }
  const task = taskNamed(name);
  if (task === undefined) return { problem: unknownSuite(name) };
  const path = rest.path ?? folder ?? (task.hub === null ? null : hubPath(task.hub));
  if (path === null) return { problem: withoutData(name, task.file) };
  return { set: { name, task: name as TaskName, ...rest, path } };
}

const unnamed = {
  expected: 'the name of a suite, or a block with its name, such as { name: mmlu, path: data, limit: 500 }',
  hint: null,
};

function unknownSuite(name: string): Finding {
  const near = nearest(name, [...taskNames]);
  const hint = near === null ? 'lm_eval:NAME is a task of lm-eval' : `did you mean ${near}?`;
  return { found: show(name), expected: `a suite: ${taskNames.join(', ')}, or lm_eval:NAME`, hint };
}

function withoutData(name: string, file: string): Finding {
  return {
    found: `${show(name)} without data, which are not on the hub`,
    expected: `path: the file of it, or a folder that has ${file}`,
    hint: `write { name: ${name}, path: … }, or suites_path`,
  };
}

/** `suites` of both blocks as sets behind those that stand there; what is wrong stays out and is found by `suiteProblems`. */
export function withSuites(input: unknown): unknown {
  return blocks.reduce((rest, block) => {
    const { suites, folder } = suitesIn(rest, block);
    const own = valueAt(rest, [block, 'sets']);
    if (suites.length === 0 || (own !== undefined && !Array.isArray(own))) return rest; // the schema says what is wrong
    const made = suites.map(entry => setOfSuite(entry, folder));
    const sets = [
      ...(Array.isArray(own) ? own : []),
      ...made.flatMap(one => ('set' in one ? [one.set] : [])),
    ];
    return applyOverrides(rest, [
      { path: [block, 'sets'], value: sets },
      { path: [block, 'suites'], value: undefined },
      ...(folder === null ? [] : [{ path: [block, 'suites_path'], value: undefined }]),
    ]);
  }, input);
}

/** Entries of `suites` that stand for no set. */
export function suiteProblems(input: unknown): (Omit<Problem, 'line'> & { path: Path })[] {
  return blocks.flatMap(block => {
    const { suites, folder } = suitesIn(input, block);
    return suites.flatMap((entry, i) => {
      const made = setOfSuite(entry, folder);
      return 'problem' in made ? [{ path: [block, 'suites', i], ...made.problem }] : [];
    });
  });
}

/** A path below a set that a suite stands for, as its author knows it. */
export function pathAsWritten(path: Path, input: unknown): Path {
  const [block, key, place, ...rest] = path;
  if (key !== 'sets' || typeof place !== 'number' || (block !== 'eval' && block !== 'retention')) return path;
  const { suites, folder } = suitesIn(input, block);
  const own = valueAt(input, [block, 'sets']);
  const count = Array.isArray(own) ? own.length : 0;
  const sound = [...suites.keys()].filter(i => 'set' in setOfSuite(suites[i] as SuiteEntry, folder));
  const suite = sound[place - count];
  return suite === undefined ? path : [block, 'suites', suite, ...rest];
}

function suitesIn(input: unknown, block: (typeof blocks)[number]) {
  const suites = valueAt(input, [block, 'suites']);
  const folder = valueAt(input, [block, 'suites_path']);
  return {
    suites: (Array.isArray(suites) ? suites : []) as SuiteEntry[],
    folder: typeof folder === 'string' ? folder : null,
  };
}
