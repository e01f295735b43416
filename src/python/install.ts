import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError } from '../errors.ts';
import { type BasePythonSearch, findBasePython, isVersion, noBasePython } from './base-python.ts';
import { type CommandResult, lastLines, runCommand } from './command.ts';
import type { OwnEnvironment } from './own-environment.ts';
import { findExecutable } from './paths.ts';
import { supportedPythons } from './requirements.ts';

/** Fetched with pip where the machine has no uv. */
const bootstrapUv = 'uv==0.13.9';

/** What the steps of an installation share. */
export interface InstallContext {
  readonly own: OwnEnvironment;
  readonly env: NodeJS.ProcessEnv;
  readonly report: (line: string) => void;
  /** Let the installers draw their progress on the terminal. */
  readonly showProgress: boolean;
}

/** How an environment will be made. */
export interface EnvironmentPlan {
  /** Null where the machine has no uv: then Python's own venv makes it. */
  readonly uv: string | null;
  /** Path of the interpreter to build upon; where none was found, a version for uv to find or fetch. */
  readonly base: string;
  readonly search: BasePythonSearch;
}

/** Decide how to make the environment; changes nothing, and throws where it cannot be made. */
export async function planEnvironment(
  { own, env }: InstallContext,
  asked: string | undefined,
): Promise<EnvironmentPlan> {
  const uv = findExecutable('uv', env);
  const search = await findBasePython({
    asked,
    env,
    mustMakeEnvironments: uv === null,
    replaced: own.folder,
  });
  const path = search.interpreter?.executable;
  if (uv === null && path === undefined) throw noBasePython(search);
  return { uv, search, base: path ?? uvRequest(search, asked) };
}

/** What uv is asked to find or fetch where no Python was found. */
function uvRequest(search: BasePythonSearch, asked: string | undefined): string {
  if (asked === undefined) return `>=${supportedPythons.at(-1)},<3.14`;
  if (isVersion(asked) && supportedPythons.some(version => `${asked}.`.startsWith(`${version}.`)))
    return asked;
  throw noBasePython(search);
}

/** Make an empty environment, over a folder that holds the building mark only. */
export async function makeEnvironment(context: InstallContext, plan: EnvironmentPlan): Promise<void> {
  const { own, report } = context;
  const how = plan.uv === null ? ' (uv is not installed: fetching it)' : '';
  report(`making a Python environment in ${own.folder} with ${plan.base}${how}`);
  if (plan.uv === null) return makeWithVenv(context, plan.base);
  const args = ['venv', '--no-project', '--allow-existing', '--python', plan.base, own.folder];
  const result = await run(context, plan.uv, args);
  if (result.code !== 0 && plan.search.interpreter === null) throw noBasePython(plan.search);
  refuseFailure(result, 'uv could not make the environment', 'npx tms setup --force');
}

async function makeWithVenv(context: InstallContext, base: string): Promise<void> {
  const made = await run(context, base, ['-m', 'venv', context.own.folder]);
  refuseFailure(made, `"${base} -m venv" failed`, 'npx tms setup --force');
  await addUv(context);
}

/** Install the pinned requirements into the environment; `torch` chooses a build (`cpu`, `cu130`, `auto`, …). */
export async function installRequirements(context: InstallContext, torch: string | null): Promise<void> {
  const { own } = context;
  const uv = findExecutable('uv', context.env) ?? (await addUv(context));
  const files = ['requirements.txt', ...(own.development === null ? [] : ['requirements-dev.txt'])];
  context.report(`installing ${files.join(' and ')}${torch === null ? '' : ` with torch for ${torch}`}`);
  const result = await run(context, uv, [
    'pip',
    'install',
    '--compile-bytecode', // where PYTHONDONTWRITEBYTECODE is set each start would compile torch anew
    '--python',
    own.python,
    ...(torch === null ? [] : ['--torch-backend', torch]),
    ...files.flatMap(file => ['--requirements', join(own.root, file)]),
  ]);
  const advice =
    torch === null
      ? 'check the network and the disk, then repeat: npx tms setup'
      : 'repeat, or leave --torch out to take the build of your package registry';
  refuseFailure(result, 'uv could not install the requirements', advice);
}

/** The uv inside the environment, fetched with pip if it is not there yet. */
async function addUv(context: InstallContext): Promise<string> {
  const inside = join(context.own.folder, 'bin', 'uv');
  if (existsSync(inside)) return inside;
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', bootstrapUv];
  const fetched = await run(context, context.own.python, pip);
  refuseFailure(
    fetched,
    `pip could not install ${bootstrapUv}`,
    'check the network and repeat, or install uv yourself',
  );
  return inside;
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
