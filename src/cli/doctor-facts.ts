import { existsSync } from 'node:fs';
import { TmsError } from '../errors.ts';
import { type DeterminismVariable, determinismVariables } from '../python/determinism.ts';
import { type PythonFound, searchPython } from '../python/find.ts';
import { installInto } from '../python/make-environment.ts';
import { environmentState, ownEnvironment } from '../python/own-environment.ts';
import { openSide, type PythonEnvironment } from '../python/side.ts';
import {
  type DiskFacts,
  diskFacts,
  type MachineFacts,
  machineFacts,
  type NodePackage,
  nodePackages,
} from './machine.ts';

/** Something that is not as it should be. */
export interface Problem {
  readonly what: string;
  /** The command, or the step, that puts it right. */
  readonly fix: string;
  /** False for what only costs speed or repeatability. */
  readonly isFatal: boolean;
}

/** One layer of determinism as the worker will have it. */
export interface DeterminismLayer {
  readonly name: string;
  readonly value: string;
  readonly isActive: boolean;
  /** What it does, or why it does nothing here. */
  readonly meaning: string;
}

/** All that `tms doctor` knows; printed as it is by `--json`. */
export interface DoctorFacts {
  readonly ok: boolean;
  readonly tms: { readonly version: string; readonly root: string };
  readonly machine: MachineFacts;
  readonly nodePackages: readonly NodePackage[];
  readonly python: (PythonFound & { readonly environment: PythonEnvironment | null }) | null;
  /** The interpreter that `tms setup --vllm` made; null: none. */
  readonly vllm: string | null;
  readonly determinism: readonly DeterminismLayer[];
  readonly disk: readonly DiskFacts[];
  readonly problems: readonly Problem[];
}

/** What `examine` is told. */
export interface DoctorRequest {
  readonly python: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
}

/** Look at everything; changes nothing. */
export async function examine(request: DoctorRequest): Promise<DoctorFacts> {
  const own = ownEnvironment({ env: request.env });
  const packages = await nodePackages();
  const { python, problems: pythonProblems } = await examinePython(request, own.root);
  const disk = diskFacts(own.folder, request.env);
  const problems = [
    ...packages.flatMap(nodeProblem),
    ...pythonProblems,
    ...driverProblem(python?.environment ?? null),
    ...(python === null ? spaceProblem(disk) : []),
  ];
  return {
    ok: problems.every(problem => !problem.isFatal),
    tms: { version: request.version, root: own.root },
    machine: machineFacts(),
    nodePackages: packages,
    python,
    vllm: vllmPython(request.env),
    determinism: determinismLayers(python?.environment ?? null),
    disk,
    problems,
  };
}

function vllmPython(env: NodeJS.ProcessEnv): string | null {
  const own = ownEnvironment({ env, vllm: true });
  return environmentState(own) === 'current' ? own.python : null;
}

function nodeProblem({ name, error }: NodePackage): Problem[] {
  if (error === null) return [];
  const fix =
    name === 'zeromq' && error.includes('No compatible')
      ? 'this platform has no prebuilt zeromq: use Linux (glibc 2.25 or newer, or Alpine) or macOS 14 on Apple silicon'
      : 'npm ci   (in the folder where tms is installed)';
  return [{ what: `the Node package ${name} cannot be loaded: ${error}`, fix, isFatal: true }];
}

interface PythonExamination {
  readonly python: DoctorFacts['python'];
  readonly problems: readonly Problem[];
}

async function examinePython(request: DoctorRequest, root: string): Promise<PythonExamination> {
  try {
    const search = await searchPython(request);
    if (search.found === null) return { python: null, problems: [noPython(search.rejected)] };
    return await askPython(search.found, root);
  } catch (error) {
    if (!(error instanceof TmsError)) throw error;
    const problem = { what: error.message, fix: error.fix ?? 'npx tms setup', isFatal: true };
    return { python: null, problems: [problem] };
  }
}

function noPython(rejected: readonly string[]): Problem {
  return { what: `no Python environment (${rejected.join('; ')})`, fix: 'npx tms setup', isFatal: true };
}

async function askPython(found: PythonFound, root: string): Promise<PythonExamination> {
  const fix = found.source === 'own' ? 'npx tms setup --force' : installInto(found.path, root);
  const tooOld = found.missing.filter(phrase => phrase.includes(' '));
  const old = tooOld.map(phrase => ({ what: `${found.path} has ${phrase}`, fix, isFatal: true }));
  const asked = await askSide(found.path);
  if (asked instanceof TmsError) {
    const problem = { what: `${found.path} did not answer: ${asked.message}`, fix, isFatal: true };
    return { python: { ...found, environment: null }, problems: [...old, problem] };
  }
  const broken = Object.entries(asked.importErrors).map(([name, error]) => ({
    what: `Python cannot import ${name} (${error})`,
    fix,
    isFatal: true,
  }));
  return { python: { ...found, environment: asked }, problems: [...old, ...broken] };
}

async function askSide(path: string): Promise<PythonEnvironment | TmsError> {
  try {
    const side = await openSide({ python: path, cuda: true });
    try {
      return await side.environment();
    } finally {
      await side.close();
    }
  } catch (error) {
    if (error instanceof TmsError) return error; // a finding, not a failure of doctor
    throw error;
  }
}

function driverProblem(environment: PythonEnvironment | null): Problem[] {
  if (!environment?.torch || environment.torch.cudaDevices.length > 0) return [];
  if (!existsSync('/proc/driver/nvidia/version')) return [];
  const what =
    environment.torch.cudaBuild === null
      ? 'there is an NVIDIA driver, but this torch has no CUDA'
      : `there is an NVIDIA driver, but torch (CUDA ${environment.torch.cudaBuild}) sees no GPU`;
  return [{ what, fix: 'npx tms setup --torch auto --force', isFatal: false }];
}

/** torch with CUDA and the rest take about 5 GB, and as much again while they are unpacked elsewhere. */
const neededBytes = 6e9;

function spaceProblem(disk: readonly DiskFacts[]): Problem[] {
  const place = disk.find(({ use }) => use === 'Python environment');
  if (place === undefined || place.freeBytes >= neededBytes) return [];
  const what = `${(place.freeBytes / 1e9).toFixed(1)} GB are free for the Python environment; torch with CUDA needs 6`;
  return [{ what, fix: 'npx tms setup --torch cpu   (1 GB), or make room', isFatal: false }];
}

function determinismLayers(environment: PythonEnvironment | null): DeterminismLayer[] {
  if (environment === null) return [];
  return determinismVariables.map(variable => {
    const value = environment.variables[variable.name] ?? '';
    const obstacle = whyInactive(variable, value, environment);
    return { name: variable.name, value, isActive: obstacle === null, meaning: obstacle ?? variable.meaning };
  });
}

function whyInactive(
  { name }: DeterminismVariable,
  value: string,
  { torch }: PythonEnvironment,
): string | null {
  if (value === '') return 'switched off: it is empty in your environment';
  if (name === 'PYTHONHASHSEED' && value === 'random') return 'switched off in your environment';
  if (name === 'MKL_CBWR' && torch?.hasMkl !== true) return 'this torch has no MKL';
  if (name === 'CUBLAS_WORKSPACE_CONFIG' && !torch?.cudaDevices.length) return 'no GPU here';
  return null;
}
