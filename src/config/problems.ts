/** What is wrong with a configuration, each problem with its place and what to do. */
import type { z } from 'zod';
import { UsageError } from '../errors.ts';
import { keysAt, listSettings } from './settings-list.ts';
import { nearest, suggestKey } from './suggest.ts';

export type Path = readonly (string | number)[];

/** One thing wrong. */
export type Problem = {
  readonly path: Path;
  /** Line in the file, from 1; null: it came from `--set`, or the key is missing. */
  readonly line: number | null;
  readonly found: string;
  readonly expected: string;
  readonly hint: string | null;
};

/** The configuration is refused; `problems` has everything that is wrong with it. */
export class ConfigError extends UsageError {
  readonly problems: readonly Problem[];

  constructor(source: string, found: readonly Problem[]) {
    const problems = found.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
    const heading = `${source}: ${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`;
    super([heading, ...problems.map(problem => `  ${formatProblem(problem)}`)].join('\n'));
    this.problems = problems;
  }
}

/** One line: place, what was found, what was expected, hint. */
function formatProblem({ path, line, found, expected, hint }: Problem): string {
  const place = [line === null ? null : `line ${line}`, path.length > 0 ? path.join('.') : null].filter(
    part => part !== null,
  );
  const start = place.length > 0 ? `${place.join(', ')}: ` : '';
  return `${start}found ${found}, expected ${expected}${hint === null ? '' : ` — ${hint}`}`;
}

/** Where a path stands in the file, and what became of a key that the schema does not have: by default one of a run. */
export type Places = {
  readonly lineOf: (path: Path) => number | null;
  readonly unknown?: (path: Path, lineOf: Places['lineOf']) => Problem;
};

/** zod's issues as problems, one for each unknown key; of a union those of the alternative that comes nearest. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  input: unknown,
  { lineOf, unknown = unknownKey }: Places,
): Problem[] {
  return issues.flatMap(nearestIssues).flatMap(issue => {
    const path = issue.path as Path;
    if (issue.code === 'unrecognized_keys') return unknownKeys(path, issue.keys, { lineOf, unknown });
    const value = valueAt(input, path);
    const problem = {
      path,
      line: lineOf(path),
      found: show(value),
      expected: expectedOf(issue),
      hint: hintOf(issue, value),
    };
    return value === undefined ? { ...problem, found: 'nothing', hint: 'this key is required' } : problem;
  });
}

/** The value at a path, or undefined. */
export function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<string | number, unknown> | null | undefined)?.[key],
    input,
  );
}

/** A file of thousands is none of ours: the first ones say so. */
const mostUnknown = 50;

function unknownKeys(path: Path, keys: readonly string[], { lineOf, unknown }: Required<Places>): Problem[] {
  const problems = keys.slice(0, mostUnknown).map(key => unknown([...path, key], lineOf));
  const more = keys.length - problems.length;
  if (more === 0) return problems;
  const found = `${more} more unknown keys`;
  return [...problems, { path, line: null, found, expected: 'keys of the schema', hint: null }];
}

/** What is wrong within a value that may be of several kinds; the issue itself where it is of none of them. */
function nearestIssues(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const size = (issues: readonly z.core.$ZodIssue[]) =>
    issues.reduce((sum, one) => sum + (one.code === 'unrecognized_keys' ? one.keys.length : 1), 0);
  const ofKind = issue.errors.filter(
    issues => !issues.some(({ path, code }) => path.length === 0 && code === 'invalid_type'),
  );
  const [nearestOne] = ofKind.toSorted((a, b) => size(a) - size(b));
  if (nearestOne === undefined) return [issue];
  return nearestOne.flatMap(one => nearestIssues({ ...one, path: [...issue.path, ...one.path] }));
}

/** A key that the schema of a run does not have, with what was probably meant. */
export function unknownKey(path: Path, lineOf: Places['lineOf']): Problem {
  const siblings = keysAt(path.slice(0, -1));
  const paths = listSettings().map(setting => setting.path);
  const suggestion = suggestKey(String(path.at(-1)), siblings, paths);
  const hint = suggestion === null ? null : `did you mean ${suggestion}?`;
  return { path, line: lineOf(path), found: 'an unknown key', expected: 'a key of the schema', hint };
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a block of keys',
  record: 'a block of keys',
};

function expectedOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.length === 1
        ? show(issue.values[0])
        : `one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return bound(issue.origin, issue.inclusive === false ? 'above' : 'at least', issue.minimum);
    case 'too_big':
      return bound(issue.origin, issue.inclusive === false ? 'below' : 'at most', issue.maximum);
    case 'invalid_format':
      if (issue.message.startsWith('expected ')) return issue.message.slice('expected '.length); // the schema's own words
      return issue.format === 'regex'
        ? `a text of the form ${issue.pattern}`
        : `a text of the form ${issue.format}`;
    case 'invalid_union':
      return oneOf(issue.errors.flat().flatMap(one => expectedOf(one).split(' or ')));
    default:
      return issue.message;
  }
}

/** `a text, true or false` */
function oneOf(kinds: readonly string[]): string {
  const all = [...new Set(kinds)];
  return all.length < 2 ? all.join() : `${all.slice(0, -1).join(', ')} or ${all.at(-1)}`;
}

function bound(origin: string, words: string, limit: number | bigint): string {
  if (origin === 'string') return 'a text that is not empty';
  return origin === 'array' ? `${words} ${limit} entries` : `${words} ${limit}`;
}

function hintOf(issue: z.core.$ZodIssue, value: unknown): string | null {
  if (issue.code === 'invalid_value' && typeof value === 'string') {
    const near = nearest(value, issue.values.map(String));
    return near === null ? null : `did you mean ${near}?`;
  }
  const isNumberAsText =
    issue.code === 'invalid_type' &&
    typeof value === 'string' &&
    value.trim() !== '' &&
    Number.isFinite(Number(value));
  return isNumberAsText ? 'remove the quotes' : null;
}

/** JSON has no word for blocks nested beyond the stack. */
function shortJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return 'a value nested too deeply to show';
  }
}

/** A value as the reader of the file would write it, shortened. */
export function show(value: unknown): string {
  const written = typeof value === 'number' ? String(value) : shortJson(value);
  return written.length > 60 ? `${written.slice(0, 57)}…` : written;
}
