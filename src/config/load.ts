/** A YAML file and `--set` values to a checked, frozen configuration, or to all problems at once. */
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { UsageError } from '../errors.ts';
import { checkTogether } from './check.ts';
import { applyOverrides, parseOverride } from './overrides.ts';
import { ConfigError, type Path, type Problem, problemsOf } from './problems.ts';
import { type RunConfig, runConfigSchema } from './schema.ts';
import { parseYaml } from './yaml-file.ts';

/** Read and check a configuration file. Throws `UsageError` when it cannot be read, `ConfigError` when it is wrong. */
export function loadConfig(file: string, sets: readonly string[] = []): RunConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError(`cannot read the configuration ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseConfig(text, file, sets);
}

/** Check the text of a configuration; `source` names it in messages. Throws `ConfigError`. */
export function parseConfig(text: string, source: string, sets: readonly string[] = []): RunConfig {
  const { value, lineOf } = parseYaml(text, source);
  const overrides = sets.map(parseOverride);
  const input = applyOverrides(value, overrides);
  const place = (path: Path) =>
    overrides.some(override => startsWith(path, override.path)) ? null : lineOf(path);
  const parsed = runConfigSchema.safeParse(input);
  const checked = parsed.success ? parsed.data : parseRest(input, parsed.error.issues);
  const problems: Problem[] = parsed.success ? [] : problemsOf(parsed.error.issues, input, place);
  const together =
    checked === null ? [] : checkTogether(checked).map(found => ({ ...found, line: place(found.path) }));
  problems.push(
    ...together.filter(({ path }) => !problems.some(known => known.path.join('.') === path.join('.'))),
  );
  if (problems.length > 0) throw new ConfigError(source, problems.toSorted(byLine));
  return deepFreeze(parsed.data as RunConfig);
}

/** The configuration as YAML, every key present; `parseConfig` gives the same configuration back. */
export function configToYaml(config: RunConfig): string {
  return stringify(config, { lineWidth: 0 });
}

/** A frozen configuration from values already in the form of the file, such as a saved record. Throws `ConfigError`. */
export function configFromRecord(record: unknown, source: string): RunConfig {
  return parseConfig(stringify(record), source);
}

/** What is left when wrong keys are taken out and missing ones filled in, so that rules between keys can still be checked. */
function parseRest(
  input: unknown,
  issues: readonly { code?: string; path: PropertyKey[]; keys?: string[] }[],
): RunConfig | null {
  const rest = structuredClone(input);
  for (const { path, keys } of issues) {
    for (const wrong of keys === undefined ? [path] : keys.map(key => [...path, key]))
      remove(rest, wrong as Path);
  }
  const missing = runConfigSchema.safeParse(rest);
  if (missing.success) return missing.data;
  const filled = applyOverrides(
    rest,
    missing.error.issues.map(({ path }) => ({ path: path as Path, value: 'x' })),
  );
  return runConfigSchema.safeParse(filled).data ?? null;
}

function remove(input: unknown, path: Path): void {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], input);
  const key = path.at(-1);
  if (typeof parent === 'object' && parent !== null && key !== undefined)
    delete (parent as Record<string | number, unknown>)[key];
}

function byLine(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0);
}

function startsWith(path: Path, prefix: Path): boolean {
  return prefix.every((part, i) => path[i] === part);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}
