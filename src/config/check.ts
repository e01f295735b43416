/** Rules that concern more than one key. */
import { methodNamed } from '../methods/index.ts';
import { blockOf } from '../methods/method.ts';
import { type Path, type Problem, show } from './problems.ts';
import { type RunConfig, settingsOf } from './schema.ts';

type Finding = Omit<Problem, 'line'>;

/** Everything in a well-typed configuration that does not fit together. */
export function checkTogether(config: RunConfig): Finding[] {
  return [...checkTraining(config), ...checkMethod(config), ...checkData(config), ...checkSets(config)];
}

function checkMethod(config: RunConfig): Finding[] {
  const { method } = methodNamed(config.method);
  const found = method.check?.(settingsOf(config, method), config) ?? [];
  return found.map(finding => ({ ...finding, path: [blockOf(method), ...finding.path] }));
}

function checkTraining({ warmup_steps, max_steps }: RunConfig): Finding[] {
  const findings: Finding[] = [];
  if (warmup_steps > 1 && !Number.isInteger(warmup_steps)) {
    findings.push(
      finding(['warmup_steps'], show(warmup_steps), 'a whole number of steps, or a share below 1'),
    );
  }
  if (max_steps === 0)
    findings.push(finding(['max_steps'], '0', 'at least 1, or -1 to go by num_train_epochs'));
  return findings;
}

function checkData({ test_size }: RunConfig): Finding[] {
  const isShareOrCount = test_size <= 1 || Number.isInteger(test_size);
  if (isShareOrCount) return [];
  return [finding(['test_size'], show(test_size), 'a share below 1, or a whole number of examples')];
}

function checkSets(config: RunConfig): Finding[] {
  const placed = (['eval', 'retention'] as const).flatMap(block =>
    config[block].sets.map((set, i) => ({ set, path: [block, 'sets', i] })),
  );
  return placed.flatMap(({ set, path }, i) => {
    const isTaken = placed.slice(0, i).some(earlier => earlier.set.name === set.name);
    const taken = finding([...path, 'name'], show(set.name), 'a name that no other set has');
    return [...(isTaken ? [taken] : []), ...checkScorer(set, path), ...checkChoice(set, path)];
  });
}

/** Labels must be named where the answer is said to be one. */
function checkChoice(
  { answer_is, scorer, columns }: RunConfig['eval']['sets'][number],
  path: Path,
): Finding[] {
  if (answer_is !== 'label' || scorer !== 'multiple_choice' || columns.labels !== null) return [];
  const expected = 'a column or a list of labels, because answer_is is label';
  return [finding([...path, 'columns', 'labels'], 'null', expected)];
}

/** The scorers `command` and `module` need the key of that name. */
function checkScorer(set: RunConfig['eval']['sets'][number], path: Path): Finding[] {
  return (['command', 'module'] as const).flatMap(key =>
    set.scorer === key && set[key] === null
      ? [finding([...path, key], 'null', `a value, because scorer is ${key}`)]
      : [],
  );
}

function finding(path: Path, found: string, expected: string, hint: string | null = null): Finding {
  return { path, found, expected, hint };
}
