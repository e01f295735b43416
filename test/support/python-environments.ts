import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { installedUv } from '../../src/python/install.ts';
import { findExecutable, projectRoot } from '../../src/python/paths.ts';

/** A folder that is removed after the test. */
export function temporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tms-test-')));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A project with its own requirements (none: nothing to fetch); `isClone` decides where its environment lives. */
export function makeProject({ requirements = '# nothing\n', isClone = true } = {}): string {
  const root = temporaryFolder();
  writeFileSync(join(root, 'requirements.txt'), requirements);
  writeFileSync(join(root, 'requirements-dev.txt'), '# nothing\n');
  if (isClone) mkdirSync(join(root, 'src', 'cli'), { recursive: true });
  return root;
}

/**
 * A copy of this project's own files (node_modules is shared), for tests that run its programs: what they do to the
 * environment must never happen to the one that the tests themselves run in.
 */
export function copyOfThisProject(): string {
  const copy = temporaryFolder();
  const files = [
    'src',
    'py_worker',
    'package.json',
    'tsconfig.json',
    'requirements.txt',
    'requirements-dev.txt',
  ];
  for (const file of files) cpSync(join(projectRoot(), file), join(copy, file), { recursive: true });
  symlinkSync(join(projectRoot(), 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** An environment for a search: nothing of this process's own Python, and only the named commands on PATH. */
export function bareEnvironment(commands: Record<string, string> = {}): NodeJS.ProcessEnv {
  const home = temporaryFolder();
  const bin = join(home, 'bin');
  mkdirSync(bin);
  for (const [name, program] of Object.entries(commands)) symlinkSync(program, join(bin, name));
  const kept = Object.entries(process.env).filter(([name]) => /^(UV_|PIP_|SSL_|LD_)/.test(name));
  return { ...Object.fromEntries(kept), HOME: home, TMS_HOME: join(home, 'tms'), PATH: bin, UV_OFFLINE: '1' };
}

/** A program at `path` that runs `script` with sh. */
export function writeProgram(path: string, script: string): string {
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A Python that tms can use, as a real file and not through a shim; skips nothing: the suite needs one anyway. */
export function supportedPython(): string {
  for (const name of ['python3.12', 'python3.11', 'python3.10', 'python3.13', 'python3']) {
    const found = findExecutable(name, process.env);
    const real = found && askExecutable(found);
    if (real) return real;
  }
  const own = process.env.TMS_PYTHON;
  if (own) return own;
  throw new Error('these tests need a Python 3.10 to 3.13 on PATH');
}

function askExecutable(path: string): string | null {
  const source = 'import sys; print(sys.executable if (3, 10) <= sys.version_info[:2] <= (3, 13) else "")';
  const { status, stdout } = spawnSync(path, ['-c', source], { encoding: 'utf8' });
  return status === 0 && stdout.trim() !== '' ? stdout.trim() : null;
}

/** The `uv` of this machine, or the one that `tms setup` fetched for the tests' own environment. */
export function uvPath(): string {
  const beside =
    process.env.TMS_PYTHON && findExecutable(join(dirname(process.env.TMS_PYTHON), 'uv'), process.env);
  const found = installedUv(process.env) ?? beside;
  if (!found) throw new Error('these tests need uv: run them with npm test');
  return found;
}

/** A real Python that is too old, where pyenv has one; otherwise a program that answers as one does. */
export function oldPython(): { path: string; version: string } {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  const version = existsSync(versions)
    ? readdirSync(versions).find(name => /^3\.[6-9]\.\d+$/.test(name))
    : undefined;
  if (version !== undefined) return { path: join(versions, version, 'bin', 'python3'), version };
  const facts = '{"version": "3.9.1", "executable": "python3", "packages": {}}';
  return { path: writeProgram(join(temporaryFolder(), 'python3'), `echo '${facts}'`), version: '3.9.1' };
}

/** An environment without packages (0.1 s); `packages` are entered as installed without being there. */
export function makeVenv(folder: string, packages: Record<string, string> = {}): string {
  const made = spawnSync(supportedPython(), ['-m', 'venv', '--without-pip', folder], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  const python = join(folder, 'bin', 'python');
  const ask = 'import sysconfig; print(sysconfig.get_path("purelib"))';
  const library = spawnSync(python, ['-c', ask], { encoding: 'utf8' }).stdout.trim();
  for (const [name, version] of Object.entries(packages)) {
    const entry = join(library, `${name.replaceAll('-', '_')}-${version}.dist-info`);
    mkdirSync(entry);
    writeFileSync(join(entry, 'METADATA'), `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`);
  }
  return python;
}

/** A wheel of one empty module, so that something can be installed without a network. Returns its requirement line. */
export function makeWheel(folder: string, name: string, version: string): string {
  const content = join(folder, `${name}-content`);
  const entry = `${name}-${version}.dist-info`;
  mkdirSync(join(content, entry), { recursive: true });
  writeFileSync(join(content, `${name}.py`), '');
  writeFileSync(
    join(content, entry, 'METADATA'),
    `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
  );
  writeFileSync(
    join(content, entry, 'WHEEL'),
    'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  );
  writeFileSync(
    join(content, entry, 'RECORD'),
    `${name}.py,,\n${entry}/METADATA,,\n${entry}/WHEEL,,\n${entry}/RECORD,,\n`,
  );
  const wheel = join(folder, `${name}-${version}-py3-none-any.whl`);
  const zip = ['-m', 'zipfile', '-c', wheel, `${name}.py`, entry];
  const made = spawnSync(supportedPython(), zip, { cwd: content, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  return `${name} @ file://${wheel}`;
}
