/** `--set a.b=c`: one value of a configuration, from the command line. */
import { parse } from 'yaml';
import { ConfigError, type Path, show } from './problems.ts';

/** A value and the place it goes to; undefined takes the key out. */
export type Override = { readonly path: Path; readonly value: unknown };

/** Read `a.b=c`; the value is YAML, so 1e-4, true, null and [a, b] are what they look like. `a.b=` takes the key out. Throws `ConfigError`. */
export function parseOverride(text: string): Override {
  const at = text.indexOf('=');
  const names = text.slice(0, at).trim().split('.');
  if (at < 1 || names.some(name => name === '') || names.length > deepest)
    throw refuse(text, 'key=value, such as tms.alpha=0.5');
  try {
    return {
      path: names.map(name => (/^\d+$/.test(name) ? Number(name) : name)),
      value: text.slice(at + 1).trim() === '' ? undefined : (parse(text.slice(at + 1)) ?? null),
    };
  } catch (error) {
    throw refuse(text, `a value that is valid YAML (${(error as Error).message.split('\n')[0]})`);
  }
}

/** Names of a path; the schema has no more than five. */
const deepest = 20;

/** A copy of `input` with the overrides put in, later ones last; blocks that are missing are made. */
export function applyOverrides(input: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce(
    (value, { path, value: replacement }) =>
      replacement === undefined ? removeAt(value, path) : replaceAt(value, path, replacement),
    input,
  );
}

/** A copy without a key or an entry of a list; the same where it is not there. */
export function removeAt(input: unknown, [key, ...rest]: Path): unknown {
  if (typeof input !== 'object' || input === null || key === undefined || !Object.hasOwn(input, key))
    return input;
  const inner = (input as Record<string | number, unknown>)[key];
  const changed = rest.length === 0 ? undefined : removeAt(inner, rest);
  if (Array.isArray(input))
    return rest.length === 0 ? input.toSpliced(Number(key), 1) : input.with(Number(key), changed);
  const others = Object.entries(input).filter(([name]) => name !== String(key));
  if (rest.length === 0) return Object.fromEntries(others);
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [name, name === String(key) ? changed : value]),
  );
}

function replaceAt(input: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(input) && typeof key === 'number') {
    if (key > input.length) throw pastTheEnd(key, input.length);
    return Object.assign([...input], { [key]: replaceAt(input[key], rest, value) });
  }
  const block = typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {};
  return { ...block, [key]: replaceAt((block as Record<string, unknown>)[key], rest, value) };
}

function pastTheEnd(index: number, length: number): ConfigError {
  const expected = length === 0 ? '0, to be the first of the list' : `at most ${length}, one past the last`;
  return new ConfigError('--set', [{ path: [], line: null, found: `entry ${index}`, expected, hint: null }]);
}

function refuse(text: string, expected: string): ConfigError {
  return new ConfigError('--set', [{ path: [], line: null, found: show(text), expected, hint: null }]);
}
