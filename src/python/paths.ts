import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join, resolve } from 'node:path';

/** The folder that holds package.json, py_worker and requirements.txt; the same from src/ and from dist/. */
export function projectRoot(): string {
  return resolve(import.meta.dirname, '..', '..');
}

/** The version in package.json. */
export function packageVersion(): string {
  const text = readFileSync(join(projectRoot(), 'package.json'), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}

/** Whether `root` is a working tree; the published package has no src/. */
export function isClone(root: string): boolean {
  return existsSync(join(root, 'src', 'cli'));
}

/** Where everything lives that `tms` keeps for a user: `TMS_HOME`, else the cache folder of the system. */
export function tmsHome(env: NodeJS.ProcessEnv): string {
  if (env.TMS_HOME) return resolve(env.TMS_HOME);
  const cache = env.XDG_CACHE_HOME && isAbsolute(env.XDG_CACHE_HOME) ? env.XDG_CACHE_HOME : undefined;
  return join(cache ?? join(env.HOME || homedir(), '.cache'), 'tms');
}

/** The full path of `command`, looked up as a shell would; null when there is none that can be executed. */
export function findExecutable(command: string, env: NodeJS.ProcessEnv): string | null {
  if (command.includes('/')) {
    const path = resolve(command);
    return isExecutable(path) ? path : null;
  }
  const folders = (env.PATH ?? '').split(delimiter).filter(folder => folder !== '');
  return folders.map(folder => join(folder, command)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // absent, or not ours to run: both mean "look further"
  }
}
