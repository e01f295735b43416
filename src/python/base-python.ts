import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { findExecutable } from './paths.ts';
import { type Interpreter, probeInterpreter } from './probe.ts';
import { isSupported, supportedPythons } from './requirements.ts';

const range = `${supportedPythons.at(-1)} to ${supportedPythons[0]}`;

/** What the environment is to be made with, or why nothing that was found will do. */
export interface BasePythonSearch {
  readonly interpreter: Interpreter | null;
  readonly rejected: readonly string[];
}

/** What the environment is to be made with. */
export interface BasePythonRequest {
  /** `--python`: a path, a command, or a version such as 3.12. */
  readonly asked: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** Only an interpreter with venv and ensurepip will do. */
  readonly mustMakeEnvironments: boolean;
  /** The folder of the environment to be made: one that is there now will be gone. */
  readonly replaced: string;
}

/**
 * The interpreter that was asked for, or none; without a wish the first that will do of `TMS_PYTHON`, an active
 * environment's, python3.13 … python3.10, python3, python on PATH.
 */
export async function findBasePython(request: BasePythonRequest): Promise<BasePythonSearch> {
  const rejected: string[] = [];
  for (const path of candidates(request)) {
    const probe = await probeInterpreter(path, request.env);
    const reason = probe.ok ? whyUnsuitable(probe.interpreter, request.mustMakeEnvironments) : probe.reason;
    if (probe.ok && reason === null) return { interpreter: probe.interpreter, rejected };
    rejected.push(`${path}: ${reason}`);
  }
  return { interpreter: null, rejected };
}

/** Whether `--python` names a version, which `uv` can also look for (and fetch) by itself. */
export function isVersion(asked: string): boolean {
  return /^\d+\.\d+(\.\d+)?$/.test(asked);
}

function candidates({ asked, env, replaced }: BasePythonRequest): string[] {
  const found = asked === undefined ? unaskedCandidates(env) : askedCandidates(asked, env);
  return found.map(path => (path.startsWith(`${replaced}/`) ? realpathSync(path) : path));
}

function askedCandidates(asked: string, env: NodeJS.ProcessEnv): string[] {
  const minor = asked.split('.').slice(0, 2).join('.');
  const path = findExecutable(isVersion(asked) ? `python${minor}` : asked, env);
  if (path !== null) return [path];
  if (isVersion(asked)) return [];
  throw new UsageError(`--python is "${asked}": no such program`, {
    fix: 'give --python the path of a Python, or a version such as 3.12',
  });
}

function unaskedCandidates(env: NodeJS.ProcessEnv): string[] {
  const active = [env.VIRTUAL_ENV, env.CONDA_PREFIX].flatMap(folder =>
    folder ? [join(folder, 'bin', 'python')] : [],
  );
  const commands = [...supportedPythons.map(version => `python${version}`), 'python3', 'python'];
  const named = [...(env.TMS_PYTHON ? [env.TMS_PYTHON] : []), ...active, ...commands];
  return named.flatMap(command => findExecutable(command, env) ?? []);
}

function whyUnsuitable(interpreter: Interpreter, mustMakeEnvironments: boolean): string | null {
  if (!isSupported(interpreter.version)) return `is Python ${interpreter.version}; ${range} is needed`;
  if (mustMakeEnvironments && !interpreter.canMakeEnvironments) {
    return `Python ${interpreter.version} without venv or ensurepip`;
  }
  return null;
}

/** The error for a machine on which no environment can be made, with the command of its package manager. */
export function noBasePython(search: BasePythonSearch, osRelease = readOsRelease()): EnvironmentError {
  const lacking = search.rejected.find(line => line.includes('without venv or ensurepip'));
  const version = /Python (\d+\.\d+)/.exec(lacking ?? '')?.[1];
  const seen =
    search.rejected.length === 0 ? '  nothing on PATH' : search.rejected.map(line => `  ${line}`).join('\n');
  const what =
    version === undefined
      ? `no Python ${range} found:`
      : 'this Python cannot make environments, and uv is not installed:';
  return new EnvironmentError(`${what}\n${seen}`, {
    fix: `${installCommand(osRelease, version)}   (or install uv and repeat: it brings its own Python)`,
  });
}

/** How this system installs Python; with `version`, the venv module for that Python. */
export function installCommand(osRelease: string, version: string | undefined): string {
  const systems = (/^ID=(.*)$/m.exec(osRelease)?.[1] ?? '').concat(
    ' ',
    /^ID_LIKE=(.*)$/m.exec(osRelease)?.[1] ?? '',
  );
  if (/debian|ubuntu/.test(systems)) {
    return version === undefined
      ? 'sudo apt install python3 python3-venv'
      : `sudo apt install python${version}-venv`;
  }
  if (/fedora|rhel|centos/.test(systems)) return 'sudo dnf install python3.12 python3.12-pip';
  if (/alpine/.test(systems)) return 'sudo apk add python3 py3-pip';
  if (/arch/.test(systems)) return 'sudo pacman -S python';
  if (/suse/.test(systems)) return 'sudo zypper install python312 python312-pip';
  return process.platform === 'darwin'
    ? 'brew install python@3.12'
    : `install Python ${range} with its venv module`;
}

function readOsRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    return ''; // macOS has none
  }
}
