/** A YAML file and `--set` values to a checked, frozen configuration, or to all problems at once. */
import { stringify } from 'yaml';
import type { z } from 'zod';
import { readUserText } from '../files/user-file.ts';
import { methodNamed } from '../methods/index.ts';
import { blockOf } from '../methods/method.ts';
import { setOfTask, type TaskName, taskNamed } from '../tasks/index.ts';
import { checkEffects, type DataForm, onlyRead } from './effects.ts';
import { applyOverrides, type Override, parseOverride, removeAt } from './overrides.ts';
import { ConfigError, type Path, type Problem, problemsOf, show, unknownKey, valueAt } from './problems.ts';
import { type RunConfig, runConfigSchema, settingsOf } from './schema.ts';
import { keysAt, settingsIn } from './settings-list.ts';
import { pathAsWritten, suiteProblems, withSuites } from './suites.ts';
import { parseYaml } from './yaml-file.ts';

/**
 * Read and check a configuration file whose method comes with tms, or was imported (`loadRun` does both). Throws `UsageError` when it
 * cannot be read, `ConfigError` when it is wrong.
 */
export function loadConfig(file: string, sets: readonly string[] = []): RunConfig {
  return parseConfig(readUserText(file, 'the configuration'), file, sets);
}

/** Check the text of a configuration; `source` names it in messages. Throws `ConfigError`. */
export function parseConfig(text: string, source: string, sets: readonly string[] = []): RunConfig {
  const { value, lineOf } = parseYaml(text, source);
  const overrides = sets.map(parseOverride);
  const given = withoutOtherMethods(value, overrides);
  const input = complete(given);
  const place = (path: Path) =>
    overrides.some(override => startsWith(path, override.path)) ? null : lineOf(path);
  const written = (problem: Problem): Problem => {
    const path = pathAsWritten(problem.path, given);
    return path === problem.path ? problem : { ...problem, path, line: place(path) };
  };
  const parsed = runConfigSchema().safeParse(input);
  const checked = readable(input, parsed);
  const problems: Problem[] = parsed.success ? [] : problemsOf(parsed.error.issues, input, { lineOf: place });
  problems.push(...overrides.flatMap(unknownRemoval));
  const together =
    checked === null ? [] : [...checkTogether(checked), ...checkEffects(withSuites(given), checked)];
  for (const found of [...suiteProblems(given), ...together]) {
    const isKnown = problems.some(({ path }) => path.join('.') === found.path.join('.'));
    if (!isKnown) problems.push({ ...found, line: place(found.path) });
  }
  if (problems.length > 0) throw new ConfigError(source, problems.map(written));
  return deepFreeze(parsed.data as RunConfig);
}

/** The configuration as YAML, with every key that is read; `parseConfig` gives the same configuration back. */
export function configToYaml(config: RunConfig, facts: DataForm | null = null): string {
  return stringify(onlyRead(config, facts), { lineWidth: 0 });
}

/**
 * The input with what is set. Where the command line chooses the method, keys that the file has for its own one are left out: its author
 * did nothing wrong. A key that the file itself has no use for, or that is set beside the method, stays and is found.
 */
function withoutOtherMethods(file: unknown, overrides: readonly Override[]): unknown {
  const input = withoutEmptyBlocks(applyOverrides(file, overrides));
  const others = overrides.filter(({ path }) => path.join('.') !== 'method');
  if (others.length === overrides.length) return input;
  const own = new Set(unread(withoutEmptyBlocks(applyOverrides(file, others))).map(path => path.join('.')));
  return unread(input)
    .filter(path => !own.has(path.join('.')) && !others.some(other => startsWith(path, other.path)))
    .reduce(removeAt, input);
}

/** Keys without an effect. */
function unread(input: unknown): Path[] {
  const whole = complete(input);
  const checked = readable(whole, runConfigSchema().safeParse(whole));
  return checked === null ? [] : checkEffects(input, checked).map(({ path }) => path);
}

/** The input with all that names in it stand for. */
function complete(input: unknown): unknown {
  return withTasks(withSuites(input));
}

/** Evaluation sets that name a task, completed with what it says; their authors' own words stay. */
function withTasks(input: unknown): unknown {
  return ['eval', 'retention'].reduce((rest, block) => {
    const sets = valueAt(rest, [block, 'sets']);
    if (!Array.isArray(sets)) return rest;
    const value = sets.map((set: unknown) => {
      const { task } = (set ?? {}) as { readonly task?: unknown };
      return taskNamed(task) === undefined ? set : { ...setOfTask(task as TaskName), ...(set as object) };
    });
    return applyOverrides(rest, [{ path: [block, 'sets'], value }]);
  }, input);
}

/** `--set key=` of a key that does not exist. */
function unknownRemoval({ path, value }: Override): Problem[] {
  const key = path.at(-1);
  const isKnown = typeof key === 'number' || keysAt(path.slice(0, -1)).includes(String(key));
  return value === undefined && !isKnown ? [unknownKey(path, () => null)] : [];
}

/** `tms:` with nothing behind it is a block without keys. */
function withoutEmptyBlocks(input: unknown): unknown {
  return settingsIn(input).reduce(
    (rest, { path, value, isBlock }) => (isBlock && value === null ? removeAt(rest, path) : rest),
    input,
  );
}

/** The configuration, or what can be read of it; null where nothing can. */
function readable(input: unknown, parsed: z.ZodSafeParseResult<RunConfig>): RunConfig | null {
  return parsed.success ? parsed.data : parseRest(input, parsed.error.issues);
}

/** What is left when wrong keys are taken out and missing ones filled in, so that rules between keys can still be checked. */
function parseRest(
  input: unknown,
  issues: readonly { code?: string; path: PropertyKey[]; keys?: string[] }[],
): RunConfig | null {
  if (issues.some(({ path }) => typeof path.at(-1) === 'number')) return null; // an entry less would move the others
  const rest = structuredClone(input);
  for (const { path, keys } of issues) {
    const block = valueAt(rest, (keys === undefined ? path.slice(0, -1) : path) as Path);
    for (const key of keys ?? path.slice(-1))
      delete (block as Record<PropertyKey, unknown> | undefined)?.[key];
  }
  const missing = runConfigSchema().safeParse(rest);
  if (missing.success) return missing.data;
  const filled = applyOverrides(
    rest,
    missing.error.issues.map(({ path }) => ({ path: path as Path, value: 'x' })),
  );
  return runConfigSchema().safeParse(filled).data ?? null;
}

function startsWith(path: Path, prefix: Path): boolean {
  return prefix.every((part, i) => path[i] === part);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}

// Rules that concern more than one key.

type Finding = Omit<Problem, 'line'>;

/** Everything in a well-typed configuration that does not fit together. */
function checkTogether(config: RunConfig): Finding[] {
  return [
    ...checkTraining(config),
    ...checkMethod(config),
    ...checkData(config),
    ...checkSets(config),
    ...checkSamplers(config),
  ];
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

/** What says how many samplers there are is one thing. */
function checkSamplers({ sampler, placement }: RunConfig): Finding[] {
  const { workers, endpoints } = sampler;
  const { engine, samplers } = placement;
  const said: [Path, unknown][] = [
    [['sampler', 'endpoints'], endpoints],
    [['placement', 'samplers', 'count'], samplers.count],
    [['sampler', 'workers'], workers],
  ];
  const [first, ...others] = said.filter(([, value]) => value !== null);
  const findings = others.map(([path, value]) =>
    finding(path, show(value), `null, because ${first?.[0].join('.')} says which samplers there are`),
  );
  if (engine === 'ray' && samplers.count === null)
    findings.push(
      finding(['placement', 'samplers', 'count'], 'null', 'the number of samplers that Ray is to place'),
    );
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
    const own = [
      ...checkScorer(set, path),
      ...checkChoice(set, path),
      ...checkOwnTemplate(config, set, path),
    ];
    return [...(isTaken ? [taken] : []), ...own];
  });
}

/** lm-eval renders chats itself, by the template of the tokenizer: other sets would be asked in another way. */
function checkOwnTemplate(
  config: RunConfig,
  { lm_eval, as_chat }: RunConfig['eval']['sets'][number],
  path: Path,
): Finding[] {
  const { chat_template_path, chat_template_date, chat_template_kwargs } = config;
  const changed = { chat_template_path, chat_template_date, chat_template_kwargs };
  const key = Object.entries(changed).find(
    ([, value]) => value !== null && Object.keys(value).length > 0,
  )?.[0];
  if (lm_eval === null || as_chat !== true || key === undefined) return [];
  return [
    finding(
      [...path, 'as_chat'],
      'true',
      `false, because ${key} is given and lm-eval takes the tokenizer’s own template`,
    ),
  ];
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
