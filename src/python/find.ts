import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import {
  environmentState,
  type OwnEnvironment,
  ownEnvironment,
  readStamp,
  type Surroundings,
} from './own-environment.ts';
import { findExecutable } from './paths.ts';
import { type Interpreter, probeInterpreter } from './probe.ts';
import {
  compareVersions,
  developmentTools,
  minimumVersions,
  oldestPython,
  unmetRequirements,
} from './requirements.ts';

/** Which Python is wanted. */
export interface PythonOptions extends Surroundings {
  /** The value of `--python`: a path, or a command on PATH. */
  readonly python?: string | undefined;
}

/** The Python that runs the worker. */
export interface PythonFound {
  readonly path: string;
  readonly version: string;
  /** `--python`, `TMS_PYTHON`, the environment of `tms setup`, or an active venv or conda environment. */
  readonly source: 'option' | 'variable' | 'own' | 'active';
  /** Packages that a Python named by the user lacks or has too old; always empty for the other sources. */
  readonly missing: readonly string[];
}

/** What a search ended with; `rejected` says for each place that was looked at why it will not do. */
export interface PythonSearch {
  readonly found: PythonFound | null;
  readonly rejected: readonly string[];
}

/**
 * The first of: `--python`, `TMS_PYTHON`, our own environment, an active venv or conda environment with the requirements.
 * A Python that the user names is taken or refused, never passed over. Throws where there is none.
 */
export async function findPython(options: PythonOptions = {}): Promise<PythonFound> {
  const search = await searchPython(options);
  if (search.found !== null) return search.found;
  throw new EnvironmentError(
    `no Python environment for tms:\n${search.rejected.map(line => `  ${line}`).join('\n')}`,
    {
      fix: 'npx tms setup   (or name a Python that has the packages: --python PATH, or TMS_PYTHON)',
    },
  );
}

/** The Python of vLLM samplers: the one that is named, else that of `tms setup --vllm`. Throws where there is none. */
export async function findVllmPython(
  python: string | null,
  surroundings: Surroundings = {},
): Promise<string> {
  const env = surroundings.env ?? process.env;
  if (python !== null) {
    const path = findExecutable(python, env);
    if (path !== null) return path;
    throw new UsageError(`sampler.python is "${python}": no such program`, {
      fix: 'give sampler.python the path of a Python with vLLM, or leave it out',
    });
  }
  const own = ownEnvironment({ ...surroundings, vllm: true });
  const look = await lookAtOwn(own, env, {});
  if (typeof look !== 'string') return look.path;
  throw new EnvironmentError(`sampler.backend is vllm, and there is no Python environment for it: ${look}`, {
    fix: 'npx tms setup --vllm   (or name a Python that has vLLM: sampler.python)',
  });
}

/** As `findPython`, but finding nothing is an answer; still throws for a Python that the user named. */
export async function searchPython(options: PythonOptions = {}): Promise<PythonSearch> {
  const env = options.env ?? process.env;
  const named = await namedPython(options.python, env);
  if (named !== null) return { found: named, rejected: [] };
  const minimum = options.dev ? { ...minimumVersions, ...developmentTools } : minimumVersions;
  const rejected: string[] = [];
  for (const look of [
    () => lookAtOwn(ownEnvironment(options), env, minimum),
    () => lookAtActive('VIRTUAL_ENV', env, minimum),
    () => lookAtActive('CONDA_PREFIX', env, minimum),
  ]) {
    const result = await look();
    if (typeof result !== 'string') return { found: result, rejected };
    rejected.push(result);
  }
  return { found: null, rejected };
}

async function namedPython(option: string | undefined, env: NodeJS.ProcessEnv): Promise<PythonFound | null> {
  if (option !== undefined) return checkNamed('--python', option, 'option', env);
  if (env.TMS_PYTHON) return checkNamed('TMS_PYTHON', env.TMS_PYTHON, 'variable', env);
  return null;
}

async function checkNamed(
  from: string,
  value: string,
  source: PythonFound['source'],
  env: NodeJS.ProcessEnv,
): Promise<PythonFound> {
  const path = findExecutable(value, env);
  const fix = `give ${from} the path of a Python ${oldestPython} or newer, or leave it out`;
  if (path === null) throw new UsageError(`${from} is "${value}": no such program`, { fix });
  const probe = await probeInterpreter(path, env);
  if (!probe.ok) throw new UsageError(`${from} is "${value}": it ${probe.reason}`, { fix });
  const { interpreter } = probe;
  if (isTooOld(interpreter)) {
    throw new UsageError(
      `${from} is "${value}": Python ${interpreter.version} is too old, tms needs ${oldestPython} or newer`,
      { fix },
    );
  }
  return { path, version: interpreter.version, source, missing: unmetRequirements(interpreter.packages) };
}

/** Whether py_worker cannot run on it. */
function isTooOld(interpreter: Interpreter): boolean {
  return compareVersions(interpreter.version, oldestPython) < 0;
}

type Minimum = Readonly<Record<string, string>>;

async function lookAtOwn(
  own: OwnEnvironment,
  env: NodeJS.ProcessEnv,
  minimum: Minimum,
): Promise<PythonFound | string> {
  const state = environmentState(own);
  if (state === 'current') return fromStamp(own);
  if (state === 'unmanaged') return lookAtEnvironment(own.python, 'own', env, minimum);
  const reasons = {
    absent: 'does not exist',
    outdated: 'was made for other requirements',
    'half-made': 'is not finished',
  } as const;
  return `${own.folder}: ${reasons[state]}`;
}

/** The Python of an environment with a valid stamp; no process is started. */
export function fromStamp(own: OwnEnvironment): PythonFound {
  const version = readStamp(own)?.pythonVersion ?? oldestPython;
  return { path: own.python, version, source: 'own', missing: [] };
}

async function lookAtActive(
  variable: 'VIRTUAL_ENV' | 'CONDA_PREFIX',
  env: NodeJS.ProcessEnv,
  minimum: Minimum,
): Promise<PythonFound | string> {
  const folder = env[variable];
  if (!folder) return `${variable}: not set`;
  return lookAtEnvironment(join(folder, 'bin', 'python'), 'active', env, minimum);
}

async function lookAtEnvironment(
  path: string,
  source: PythonFound['source'],
  env: NodeJS.ProcessEnv,
  minimum: Minimum,
): Promise<PythonFound | string> {
  const probe = await probeInterpreter(path, env);
  if (!probe.ok) return `${path}: ${probe.reason}`;
  const { interpreter } = probe;
  if (isTooOld(interpreter)) return `${path}: Python ${interpreter.version} is older than ${oldestPython}`;
  const missing = unmetRequirements(interpreter.packages, minimum);
  if (missing.length > 0) return `${path}: lacks ${missing.join(', ')}`;
  return { path, version: interpreter.version, source, missing: [] };
}
