import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exitCodes } from '../../src/errors.ts';
import { ownIdentity } from '../../src/files/process-identity.ts';
import { isAlive } from '../../src/files/temporary-name.ts';
import { findVllmPython } from '../../src/python/find.ts';
import { ensurePython, setUpExtras, setUpPython } from '../../src/python/make-environment.ts';
import { environmentState, ownEnvironment, readStamp } from '../../src/python/own-environment.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { extraNames, minimumVersions } from '../../src/python/requirements.ts';
import {
  bareEnvironment,
  makeProject,
  makeVenv,
  makeWheel,
  oldPython,
  supportedPython,
  temporaryFolder,
  uvPath,
  writeProgram,
} from '../support/python-environments.ts';

/** A machine with uv and one Python. */
const machine = () => bareEnvironment({ uv: uvPath(), python3: supportedPython() });

describe('a first setup', () => {
  test('makes the environment, installs the requirements, and stamps it last', async () => {
    const root = makeProject({ requirements: `${makeWheel(temporaryFolder(), 'apple', '1.2')}\n` });
    const env = machine();
    const lines: string[] = [];
    const { python, changed } = await setUpPython({ root, env, report: line => lines.push(line) });
    expect(changed).toBe(true);
    expect(python).toMatchObject({ path: join(root, '.venv', 'bin', 'python'), source: 'own' });
    expect(canImport(python.path, 'apple')).toBe(true);
    expect(lines.map(line => line.split(' ')[0])).toEqual(['making', 'installing']);
    const own = ownEnvironment({ root, env });
    expect(environmentState(own)).toBe('current');
    expect(readStamp(own)).toMatchObject({ pythonVersion: python.version, torch: null, development: null });
    expect(existsSync(own.buildingMark)).toBe(false);
  });

  test('for vLLM makes one of its own in TMS_HOME, for the CPU where there is no driver of a GPU', async () => {
    const root = makeProject();
    const wheels = temporaryFolder();
    writeFileSync(join(root, 'requirements-vllm-cpu.txt'), `${makeWheel(wheels, 'apple', '1.2')}\n`);
    writeFileSync(join(root, 'requirements-vllm.txt'), `${makeWheel(wheels, 'pear', '1.2')}\n`);
    writeFileSync(join(root, 'requirements-vllm-overrides.txt'), '# nothing\n');
    const env = machine();
    const missing = findVllmPython(null, { root, env });
    await expect(missing).rejects.toMatchObject({ fix: expect.stringContaining('tms setup --vllm') });
    const { python } = await setUpPython({ root, env, vllm: true });
    expect(python.path).toContain(join(String(env.TMS_HOME), 'python', 'vllm-'));
    expect(canImport(python.path, 'apple')).toBe(true);
    expect(existsSync(join(root, '.venv'))).toBe(false);
    expect(await findVllmPython(null, { root, env })).toBe(python.path);
    writeProgram(join(String(env.PATH), 'nvidia-smi'), 'true');
    expect(ownEnvironment({ root, env, vllm: true }).file).toBe('requirements-vllm.txt');
  });

  test('where nothing is to do starts no process', async () => {
    const root = makeProject();
    const env = machine();
    const { python } = await setUpPython({ root, env });
    const trace = join(root, 'started');
    unlinkSync(python.path);
    for (const program of [python.path, join(root, 'uv')]) writeProgram(program, `touch ${trace}`);
    const again = await setUpPython({ root, env: { ...env, PATH: root } });
    expect(again).toEqual({ python, changed: false });
    expect(existsSync(trace)).toBe(false);
  });

  test('of two at the same time the second waits and finds all done', async () => {
    const root = makeProject();
    const env = machine();
    const lines: string[] = [];
    const report = (line: string) => lines.push(line);
    const results = await Promise.all([
      setUpPython({ root, env, report }),
      setUpPython({ root, env, report }),
    ]);
    expect(results.map(({ changed }) => changed).sort()).toEqual([false, true]);
    expect(lines.join('\n')).toContain(`waiting for another tms setup (process ${process.pid} on `);
  });
});

describe('a setup that was cut off', () => {
  test('leaves an environment that nothing takes for whole, and the next one begins anew', async () => {
    const root = makeProject({ requirements: `${makeWheel(temporaryFolder(), 'apple', '1.2')}\n` });
    const env = machine();
    const folder = temporaryFolder();
    const script = `case "$1" in venv) exec ${uvPath()} "$@";; *) echo "no space left" >&2; kill -9 $$;; esac`;
    const dyingUv = { ...env, PATH: `${folder}:${env.PATH}` };
    writeProgram(join(folder, 'uv'), script);
    await expect(setUpPython({ root, env: dyingUv })).rejects.toThrow(
      /could not install the requirements:\nno space left/,
    );
    const own = ownEnvironment({ root, env });
    expect(environmentState(own)).toBe('half-made');
    writeFileSync(join(own.folder, 'leftover'), '');

    const { python, changed } = await setUpPython({ root, env });
    expect([changed, canImport(python.path, 'apple')]).toEqual([true, true]);
    expect(existsSync(join(own.folder, 'leftover'))).toBe(false);
    expect(environmentState(own)).toBe('current');
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const)(
    'by %s leaves none of its processes behind, children of children neither',
    async signal => {
      const root = makeProject();
      const env = machine();
      const folder = temporaryFolder();
      const started = join(folder, 'started');
      const script = `case "$1" in venv) exec ${uvPath()} "$@";; *) sleep 600 & echo $! > ${started}; wait;; esac`;
      writeProgram(join(folder, 'uv'), script);
      const options = JSON.stringify({ root, env: { ...env, PATH: `${folder}:${env.PATH}` } });
      const module = JSON.stringify(join(projectRoot(), 'src/python/make-environment.ts'));
      const code = `const { setUpPython } = await import(${module});
        await setUpPython(${options}).catch(error => process.exit(error.exitCode));`;
      const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code];
      const child = spawn(process.execPath, args, { stdio: 'ignore' });
      const patience = { timeout: 60_000, interval: 50 };
      await expect.poll(() => existsSync(started) && readFileSync(started, 'utf8'), patience).toMatch(/\d\n/);
      const ended = new Promise(resolve => child.once('exit', (code, by) => resolve(code ?? by)));
      child.kill(signal);
      expect(await ended).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGKILL: 'SIGKILL' }[signal]);
      const grandchild = Number(readFileSync(started, 'utf8'));
      await expect.poll(() => isAlive(grandchild), patience).toBe(false);
    },
  );

  test('does not keep the lock of a process that is gone', async () => {
    const root = makeProject();
    const dead = spawnSync('true').pid;
    const lock = join(root, '.venv-setup.lock');
    mkdirSync(lock);
    const owner = { ...ownIdentity(), pid: dead, since: '2026-01-01T00:00:00.000Z' };
    writeFileSync(join(lock, 'owner.json'), JSON.stringify(owner));
    expect((await setUpPython({ root, env: machine() })).changed).toBe(true);
    expect(existsSync(lock)).toBe(false);
  });

  test('whose interpreter vanished is begun anew', async () => {
    const root = makeProject();
    const env = machine();
    const { python } = await setUpPython({ root, env });
    rmSync(python.path);
    expect(environmentState(ownEnvironment({ root, env }))).toBe('half-made');
    expect((await setUpPython({ root, env })).changed).toBe(true);
    expect(existsSync(python.path)).toBe(true);
  });
});

describe('setup --with', () => {
  test('adds the extras that are named, at versions that keep those of the environment', async () => {
    const wheels = temporaryFolder();
    const apple = makeWheel(wheels, 'apple', '1.2');
    const root = makeProject({ requirements: `${apple}\n` });
    writeFileSync(join(root, 'requirements-extra-fruit.txt'), `${makeWheel(wheels, 'pear', '1.0')}\n`);
    writeFileSync(join(root, 'requirements-extra-worm.txt'), `${makeWheel(wheels, 'apple', '2.0')}\n`);
    const env = machine();
    await expect(setUpExtras({ root, env }, ['friut'])).rejects.toMatchObject({
      message: '--with friut: there is no such extra',
      fix: 'one of: fruit, worm',
      exitCode: exitCodes.usage,
    });
    expect(existsSync(join(root, '.venv'))).toBe(false);
    const { python } = await setUpExtras({ root, env }, ['fruit']);
    expect([canImport(python.path, 'apple'), canImport(python.path, 'pear')]).toEqual([true, true]);
    await expect(setUpExtras({ root, env }, ['worm'])).rejects.toThrow('requirements-extra-worm.txt');
    expect(environmentState(ownEnvironment({ root, env }))).toBe('current');
  });

  test.each(extraNames(projectRoot()))(
    'extra %s has one version of a package with requirements.txt and all other extras',
    name => {
      const others = extraNames(projectRoot()).map(other => `requirements-extra-${other}.txt`);
      const pins = new Map(['requirements.txt', ...others].flatMap(file => pinsOf(file)));
      expect(
        pinsOf(`requirements-extra-${name}.txt`).filter(([key, version]) => pins.get(key) !== version),
      ).toEqual([]);
    },
  );
});

/** `[package ; marker, version]` of each line. */
function pinsOf(file: string): [string, string][] {
  const lines = readFileSync(join(projectRoot(), file), 'utf8').split('\n');
  return lines
    .map(line => /^([\w.-]+)(?:\[.*\])?==(\S+)(.*)$/.exec(line) ?? [])
    .flatMap(([, name = '', version = '', marker = '']) => (name === '' ? [] : [[name + marker, version]]));
}

describe('a later setup', () => {
  test('installs changed requirements in place, and another Python or --force begins anew', async () => {
    const root = makeProject();
    const env = machine();
    await setUpPython({ root, env });
    const witness = join(root, '.venv', 'witness');
    const survives = async (options: { python?: string; force?: boolean; dev?: boolean }) => {
      writeFileSync(witness, '');
      await setUpPython({ root, env, ...options });
      return existsSync(witness);
    };
    writeFileSync(join(root, 'requirements.txt'), '# changed\n');
    expect(await survives({})).toBe(true);
    expect(await survives({ dev: true })).toBe(true);
    expect(await survives({ python: supportedPython() })).toBe(true);
    expect(await survives({ force: true })).toBe(false);
    const other = makeVenv(join(temporaryFolder(), 'other'));
    const stamp = readStamp(ownEnvironment({ root, env }));
    expect(stamp?.development).not.toBeNull();
    writeFileSync(
      ownEnvironment({ root, env }).stampPath,
      JSON.stringify({ ...stamp, basePython: '/nowhere/python' }),
    );
    expect(await survives({ python: other })).toBe(false);
  });

  test('that fails leaves the environment that was there', async () => {
    const root = makeProject();
    const env = machine();
    const { python } = await setUpPython({ root, env });
    await expect(setUpPython({ root, env, force: true, python: '/nowhere/python' })).rejects.toThrow(
      'no such program',
    );
    expect(environmentState(ownEnvironment({ root, env }))).toBe('current');

    const folder = temporaryFolder();
    const script = `case "$1" in venv) exec ${uvPath()} "$@";; *) echo "no such index" >&2; exit 2;; esac`;
    writeProgram(join(folder, 'uv'), script);
    const failing = setUpPython({ root, env: { ...env, PATH: `${folder}:${env.PATH}` }, torch: 'cpu' });
    await expect(failing).rejects.toMatchObject({ fix: expect.stringContaining('leave --torch out') });
    expect(environmentState(ownEnvironment({ root, env }))).toBe('current');
    expect(canImport(python.path, 'json')).toBe(true);
    expect(existsSync(join(root, '.venv-old'))).toBe(false);
  });

  test('is made from the interpreter behind it when it is itself the active environment', async () => {
    const root = makeProject();
    const env = machine();
    await setUpPython({ root, env });
    const active = {
      ...env,
      VIRTUAL_ENV: join(root, '.venv'),
      PATH: `${join(root, '.venv', 'bin')}:${env.PATH}`,
    };
    const { python } = await setUpPython({ root, env: active, force: true });
    expect(canImport(python.path, 'json')).toBe(true);
  });

  test('completes an environment made by hand, and never removes it unasked', async () => {
    const root = makeProject({ requirements: `${makeWheel(temporaryFolder(), 'apple', '1.2')}\n` });
    const env = machine();
    const python = makeVenv(join(root, '.venv'));
    await expect(setUpPython({ root, env, python: supportedPython() })).rejects.toMatchObject({
      message: expect.stringContaining('was made by hand'),
      fix: expect.stringContaining('--force'),
    });
    expect((await setUpPython({ root, env })).changed).toBe(true);
    expect(canImport(python, 'apple')).toBe(true);
  });

  test('refuses a folder that is no environment', async () => {
    const root = makeProject();
    mkdirSync(join(root, '.venv'));
    writeFileSync(join(root, '.venv', 'thesis.tex'), 'years of work');
    await expect(setUpPython({ root, env: machine() })).rejects.toThrow('is in the way');
    expect(existsSync(join(root, '.venv', 'thesis.tex'))).toBe(true);
  });
});

describe('a machine without what is needed', () => {
  test('no Python and no uv: says so, and what to install', async () => {
    const setup = setUpPython({ root: makeProject(), env: bareEnvironment() });
    await expect(setup).rejects.toThrow('neither uv nor a python3 that could fetch it is on PATH');
    await expect(setup).rejects.toMatchObject({
      exitCode: exitCodes.failed,
      fix: expect.stringContaining('install uv'),
    });
  });

  test('uv, but no Python that will do, and no network to fetch one: says what uv looked for', async () => {
    const env = { ...bareEnvironment({ uv: uvPath() }), UV_PYTHON_SEARCH_PATH: '/nowhere' };
    await expect(setUpPython({ root: makeProject(), env })).rejects.toThrow(/could not make .*\n.*3\.10/);
  });

  test('a Python that was asked for and is too old: names it and its version', async () => {
    const { path, version } = oldPython();
    const setup = (python: string) => setUpPython({ root: makeProject(), env: machine(), python });
    await expect(setup(path)).rejects.toThrow(`it is Python ${version}; 3.10 to 3.13 is needed`);
    await expect(setup('3.9')).rejects.toThrow('--python is 3.9; 3.10 to 3.13 is needed');
  });

  test('no uv and a Python without ensurepip, as Debian ships it: names the package', async () => {
    const said = 'The virtual environment was not created successfully because ensurepip is not available.';
    const python = writeProgram(
      join(temporaryFolder(), 'python3'),
      `case "$2" in venv) echo '${said}' >&2; exit 1;; *) exec ${supportedPython()} "$@";; esac`,
    );
    const setup = setUpPython({ root: makeProject(), env: bareEnvironment({ python3: python }) });
    await expect(setup).rejects.toThrow(
      /python3 cannot make an environment.*:\n.*ensurepip is not available/,
    );
    await expect(setup).rejects.toMatchObject({ fix: expect.stringContaining('python3-venv') });
  });

  test('no uv: one is fetched with pip, once, and makes the environment', async () => {
    const root = makeProject();
    const folder = temporaryFolder();
    // Stands for pip: puts the real uv where pip would.
    const fetching = `case "$*" in *"pip install"*) ln -s ${uvPath()} "$(dirname "$0")/uv";; *) exec ${supportedPython()} "$@";; esac`;
    const python = writeProgram(
      join(folder, 'python3'),
      `case "$2" in venv) mkdir -p "$4/bin" && cp ${join(folder, 'fetching')} "$4/bin/python";; *) exec ${supportedPython()} "$@";; esac`,
    );
    writeProgram(join(folder, 'fetching'), fetching);
    const env = {
      ...bareEnvironment({
        python3: python,
        dirname: '/usr/bin/dirname',
        mkdir: '/usr/bin/mkdir',
        cp: '/usr/bin/cp',
        ln: '/usr/bin/ln',
      }),
    };
    const lines: string[] = [];
    const set = (force: boolean) =>
      setUpPython({ root, env, force, python: supportedPython(), report: line => lines.push(line) });
    await set(false);
    await set(true);
    expect(lines.filter(line => line.includes('fetching'))).toEqual([
      `uv is not installed: fetching it into ${env.TMS_HOME}/uv`,
    ]);
  });
});

describe('a command that needs Python', () => {
  test('makes the environment where there is none', async () => {
    const root = makeProject();
    const python = await ensurePython({ root, env: machine() });
    expect(python).toMatchObject({ path: join(root, '.venv', 'bin', 'python'), source: 'own' });
  });

  test('leaves an environment made by hand alone when it has all packages', async () => {
    const root = makeProject();
    const python = makeVenv(join(root, '.venv'), minimumVersions);
    expect(await ensurePython({ root, env: bareEnvironment() })).toMatchObject({
      path: python,
      source: 'own',
    });
    expect(readStamp(ownEnvironment({ root }))).toBeNull();
  });

  test('refuses a named Python without torch, with the command that installs it there', async () => {
    const root = makeProject();
    const python = makeVenv(join(temporaryFolder(), 'venv'));
    await expect(ensurePython({ root, python, env: bareEnvironment() })).rejects.toMatchObject({
      message: expect.stringContaining('lacks torch, transformers'),
      fix: `${python} -m pip install -r ${join(root, 'requirements.txt')}`,
    });
  });
});

function canImport(python: string, module: string): boolean {
  return spawnSync(python, ['-c', `import ${module}`]).status === 0;
}
