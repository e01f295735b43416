import { existsSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { EnvironmentError } from '../errors.ts';
import { makePrivate, writeFileAtomic } from '../files/atomic.ts';
import { withLock } from '../files/lock.ts';
import { fromStamp, type PythonFound, type PythonOptions, searchPython } from './find.ts';
import {
  type InstallContext,
  installExtra,
  installRequirements,
  isVersion,
  makeEnvironment,
  pythonRequest,
} from './install.ts';
import {
  environmentState,
  type OwnEnvironment,
  ownEnvironment,
  readStamp,
  type Stamp,
} from './own-environment.ts';
import { findExecutable, tmsHome } from './paths.ts';
import { probeInterpreter } from './probe.ts';
import { extraFile, isSupported } from './requirements.ts';

/** What `tms setup` was asked for. `python` is the interpreter to build upon: a path, a command or a version. */
export interface SetupOptions extends PythonOptions {
  /** The build of torch as uv's `--torch-backend` names it; left out, whatever build is there or the registry has. */
  readonly torch?: string | undefined;
  /** Begin anew even where nothing is to do. */
  readonly force?: boolean | undefined;
  /** Called with one line at each step. */
  readonly report?: ((line: string) => void) | undefined;
  /** Let the installers draw progress bars on stderr. */
  readonly showProgress?: boolean | undefined;
}

/** The environment, and whether anything had to be done for it. */
export interface SetupResult {
  readonly python: PythonFound;
  readonly changed: boolean;
}

/**
 * The Python for a command that needs one: what `findPython` finds, else our own environment, made or brought up to date.
 * A Python that the user named and that lacks packages is refused with the command that installs them.
 */
export async function ensurePython(options: SetupOptions = {}): Promise<PythonFound> {
  const search = await searchPython(options);
  if (search.found === null) return (await setUpPython({ ...options, python: undefined })).python;
  const { path, missing } = search.found;
  if (missing.length === 0) return search.found;
  const { root } = ownEnvironment(options);
  throw new EnvironmentError(`${path} lacks ${missing.join(', ')}`, { fix: installInto(path, root) });
}

/** The command that installs the requirements into an environment that is not ours. */
export function installInto(python: string, root: string): string {
  return `${python} -m pip install -r ${join(root, 'requirements.txt')}`;
}

/**
 * Make our own Python environment, or bring it up to date. Nothing is started where its stamp says that all is done.
 * A mark lies in the folder while it is worked on and the stamp is written last, so an interrupted setup is recognised and
 * begun anew; a second setup at the same time waits for the first.
 */
export async function setUpPython(options: SetupOptions = {}): Promise<SetupResult> {
  const own = ownEnvironment(options);
  if (isDone(own, options)) return { python: fromStamp(own), changed: false };
  const report = options.report ?? (() => {});
  const home = tmsHome(options.env ?? process.env);
  if (own.folder.startsWith(`${home}/`)) makePrivate(home);
  const onWait = (holder: string) => report(`waiting for another tms setup (${holder})`);
  return withLock(`${own.folder}-setup.lock`, onWait, async () => {
    if (isDone(own, options)) return { python: fromStamp(own), changed: false };
    await build(own, options, report);
    return { python: fromStamp(own), changed: true };
  });
}

/** Our own environment with extras in it. They stay until the environment is made anew; what is there already costs a second. */
export async function setUpExtras(options: SetupOptions, names: readonly string[]): Promise<SetupResult> {
  const files = names.map(name => extraFile(ownEnvironment(options).root, name));
  const { python } = await setUpPython(options);
  const own = ownEnvironment(options);
  const context = {
    own,
    env: options.env ?? process.env,
    report: options.report ?? (() => {}),
    showProgress: options.showProgress ?? false,
  };
  const install = async () => {
    for (const file of files) await installExtra(context, file);
  };
  await withLock(`${own.folder}-setup.lock`, () => {}, install);
  return { python, changed: true };
}

function isDone(own: OwnEnvironment, options: SetupOptions): boolean {
  return !options.force && environmentState(own) === 'current' && !mustBeginAnew(own, options);
}

/** Another torch or another Python cannot be changed in place: the old one's libraries would stay behind. */
function mustBeginAnew(own: OwnEnvironment, options: SetupOptions): boolean {
  const stamp = readStamp(own);
  if (stamp === null) return false;
  const otherTorch = options.torch !== undefined && options.torch !== stamp.torch;
  return (
    otherTorch ||
    (options.python !== undefined && !isMadeWith(stamp, options.python, options.env ?? process.env))
  );
}

function isMadeWith(stamp: Stamp, asked: string, env: NodeJS.ProcessEnv): boolean {
  if (isVersion(asked)) return `${stamp.pythonVersion}.`.startsWith(`${asked}.`);
  const path = findExecutable(asked, env);
  return (
    path !== null && existsSync(stamp.basePython) && realpathSync(path) === realpathSync(stamp.basePython)
  );
}

async function build(
  asked: OwnEnvironment,
  options: SetupOptions,
  report: (line: string) => void,
): Promise<void> {
  const before = readStamp(asked);
  const keepTools = before !== null && before.development !== null;
  const own = keepTools ? ownEnvironment({ ...options, dev: true }) : asked;
  const context: InstallContext = {
    own,
    env: options.env ?? process.env,
    report,
    showProgress: options.showProgress ?? false,
  };
  const torch = options.torch ?? before?.torch ?? null;
  if (await canStay(own, options, context.env)) {
    startBuilding(own);
    await installRequirements(context, torch);
    return finishBuilding(own, torch, context.env);
  }
  const request = await pythonRequest(options.python, context.env);
  await replacing(own, report, async () => {
    startBuilding(own);
    await makeEnvironment(context, request);
    await installRequirements(context, torch);
    await finishBuilding(own, torch, context.env);
  });
}

/** Whether the packages can be installed into what is there; an environment made by hand is never removed unasked. */
async function canStay(own: OwnEnvironment, options: SetupOptions, env: NodeJS.ProcessEnv): Promise<boolean> {
  const state = environmentState(own);
  if (options.force || state === 'absent' || state === 'half-made') return false;
  if (state !== 'unmanaged') return !mustBeginAnew(own, options);
  const probe = await probeInterpreter(own.python, env);
  const isUsable = probe.ok && isSupported(probe.interpreter.version);
  if (isUsable && options.python === undefined && options.torch === undefined) return true;
  const found = probe.ok ? `with Python ${probe.interpreter.version}` : `and its Python ${probe.reason}`;
  throw new EnvironmentError(`${own.folder} was made by hand, ${found}: it cannot be changed as asked`, {
    fix: 'npx tms setup --force   (removes it and makes a new one), or move it away',
  });
}

/** Move what is there aside while `make` works; a whole environment comes back when that fails, half of one never does. */
async function replacing(
  own: OwnEnvironment,
  report: (line: string) => void,
  make: () => Promise<void>,
): Promise<void> {
  const aside = `${own.folder}-old`;
  rmSync(aside, { recursive: true, force: true });
  const state = environmentState(own);
  if (state !== 'absent') {
    refuseOtherFolder(own);
    report(`replacing ${own.folder} (${state})`);
    renameSync(own.folder, aside);
  }
  try {
    await make();
  } catch (error) {
    if (state !== 'absent' && state !== 'half-made') {
      rmSync(own.folder, { recursive: true, force: true });
      renameSync(aside, own.folder);
      report(`${own.folder} is as it was before`);
    }
    throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function refuseOtherFolder(own: OwnEnvironment): void {
  const isOurs = ['pyvenv.cfg', basename(own.buildingMark)].some(name => existsSync(join(own.folder, name)));
  if (isOurs || (statSync(own.folder).isDirectory() && readdirSync(own.folder).length === 0)) return;
  throw new EnvironmentError(`${own.folder} is in the way: it is not a Python environment`, {
    fix: `move it away: mv ${own.folder} ${own.folder}-other`,
  });
}

function startBuilding(own: OwnEnvironment): void {
  writeFileAtomic(own.buildingMark, `tms setup works here, or was interrupted (process ${process.pid})\n`);
  rmSync(own.stampPath, { force: true });
}

async function finishBuilding(
  own: OwnEnvironment,
  torch: string | null,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const probe = await probeInterpreter(own.python, env);
  if (!probe.ok) {
    throw new EnvironmentError(`${own.python} ${probe.reason}`, { fix: 'npx tms setup --force' });
  }
  const stamp: Stamp = {
    requirements: own.requirements,
    development: own.development,
    torch,
    pythonVersion: probe.interpreter.version,
    basePython: realpathSync(own.python),
  };
  writeFileAtomic(own.stampPath, `${JSON.stringify(stamp, null, 2)}\n`);
  rmSync(join(own.folder, 'tms-unpacked'), { recursive: true, force: true });
  rmSync(own.buildingMark);
}
