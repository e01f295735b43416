import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { exitCodes } from '../../src/errors.ts';
import { findPython, searchPython } from '../../src/python/find.ts';
import { setUpPython } from '../../src/python/make-environment.ts';
import { ownEnvironment } from '../../src/python/own-environment.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { compareVersions, minimumVersions, unmetRequirements } from '../../src/python/requirements.ts';
import {
  bareEnvironment,
  makeProject,
  makeVenv,
  oldPython,
  temporaryFolder,
  uvPath,
  writeProgram,
} from '../support/python-environments.ts';

const everything = minimumVersions;

describe('the order of the search', () => {
  test('--python, TMS_PYTHON, our own environment, an active venv, an active conda environment', async () => {
    const root = makeProject();
    const folder = temporaryFolder();
    const option = makeVenv(join(folder, 'option'));
    const variable = makeVenv(join(folder, 'variable'));
    const venv = makeVenv(join(folder, 'venv'), everything);
    const conda = makeVenv(join(folder, 'conda'), everything);
    const own = makeVenv(join(root, '.venv'), everything);
    const active = { VIRTUAL_ENV: join(folder, 'venv'), CONDA_PREFIX: join(folder, 'conda') };
    const empty = makeProject();
    const env = { ...bareEnvironment(), ...active };

    const found = [
      await findPython({ root, python: option, env: { ...env, TMS_PYTHON: variable } }),
      await findPython({ root, env: { ...env, TMS_PYTHON: variable } }),
      await findPython({ root, env }),
      await findPython({ root: empty, env }),
      await findPython({ root: empty, env: { ...env, VIRTUAL_ENV: undefined } }),
    ];
    expect(found.map(({ path }) => path)).toEqual([option, variable, own, venv, conda]);
    expect(found.map(({ source }) => source)).toEqual(['option', 'variable', 'own', 'active', 'active']);
  });

  test('an active environment that lacks packages, or has them too old, is passed over with the reason', async () => {
    const folder = join(temporaryFolder(), 'venv');
    const { torch: _, ...withoutTorch } = everything;
    const python = makeVenv(folder, { ...withoutTorch, transformers: '4.40.0' });
    const { found, rejected } = await searchPython({
      root: makeProject(),
      env: { ...bareEnvironment(), VIRTUAL_ENV: folder },
    });
    expect(found).toBeNull();
    expect(rejected).toContain(
      `${python}: lacks torch, transformers 4.40.0 (older than ${everything.transformers})`,
    );
  });

  test('a Python that the user names is taken without packages, and says what it lacks', async () => {
    const python = makeVenv(join(temporaryFolder(), 'venv'));
    const { missing } = await findPython({ root: makeProject(), python, env: bareEnvironment() });
    expect(missing).toEqual(Object.keys(everything));
  });

  test('outside a clone our own environment lives in TMS_HOME, by requirements', () => {
    const env = bareEnvironment();
    const one = ownEnvironment({ root: makeProject({ isClone: false }), env }).folder;
    const other = ownEnvironment({
      root: makeProject({ isClone: false, requirements: 'six\n' }),
      env,
    }).folder;
    expect(one).toMatch(/\/tms\/python\/[0-9a-f]{12}$/);
    expect(one.startsWith(`${env.TMS_HOME}/`)).toBe(true);
    expect(other).not.toBe(one);
  });
});

describe('what cannot be used', () => {
  test('nothing found names every place and the command that makes an environment', async () => {
    const root = makeProject();
    const search = findPython({ root, env: bareEnvironment() });
    await expect(search).rejects.toThrow(`${root}/.venv: does not exist`);
    await expect(search).rejects.toMatchObject({
      exitCode: exitCodes.failed,
      fix: expect.stringContaining('npx tms setup'),
    });
  });

  test('a named Python that is too old is refused with both versions', async () => {
    const { path, version } = oldPython();
    const search = findPython({ root: makeProject(), python: path, env: bareEnvironment() });
    await expect(search).rejects.toThrow(`Python ${version} is too old, tms needs 3.10 or newer`);
    await expect(search).rejects.toMatchObject({ exitCode: exitCodes.usage });
  });

  test('a named Python that does not exist is never replaced by another', async () => {
    const root = makeProject();
    makeVenv(join(root, '.venv'), everything);
    const env = { ...bareEnvironment(), TMS_PYTHON: '/nowhere/python' };
    await expect(findPython({ root, env })).rejects.toThrow(
      'TMS_PYTHON is "/nowhere/python": no such program',
    );
  });

  test('a program that is not Python, or that fails, says what it did', async () => {
    const folder = temporaryFolder();
    const talker = writeProgram(join(folder, 'talker'), 'echo hello');
    const shim = writeProgram(join(folder, 'shim'), 'echo "shim: version 3.12 is not set" >&2; exit 127');
    const env = bareEnvironment();
    const root = makeProject();
    await expect(findPython({ root, env, python: talker })).rejects.toThrow(
      'it is not Python: it printed "hello',
    );
    await expect(findPython({ root, env, python: shim })).rejects.toThrow('shim: version 3.12 is not set');
  });
});

test('an environment with a valid stamp is found without starting a process', async () => {
  const root = makeProject();
  const env = bareEnvironment({ python3: makeVenv(join(temporaryFolder(), 'base')), uv: uvPath() });
  await setUpPython({ root, env });
  const own = ownEnvironment({ root, env });
  const trace = join(root, 'started');
  unlinkSync(own.python);
  writeProgram(own.python, `touch ${trace}`);
  const found = await findPython({ root, env });
  expect(found).toMatchObject({ path: own.python, source: 'own', missing: [] });
  expect(existsSync(trace)).toBe(false);
});

describe('versions', () => {
  test('only release numbers count', () => {
    expect(compareVersions('2.13.0+cu130', '2.13')).toBe(0);
    expect(compareVersions('2.9', '2.11')).toBeLessThan(0);
    expect(compareVersions('3.0.0rc1', '2.11')).toBeGreaterThan(0);
    expect(unmetRequirements({ a: '1.9', b: '2.0' }, { a: '1.10', b: '2', c: '1' })).toEqual([
      'a 1.9 (older than 1.10)',
      'c',
    ]);
  });

  test('every requirement of requirements.in has an oldest version, and its pin is not older', () => {
    const text = readFileSync(join(projectRoot(), 'requirements.in'), 'utf8');
    const names = text.split('\n').flatMap(line => /^[\w-]+/.exec(line)?.[0] ?? []);
    expect(names.sort()).toEqual(Object.keys(minimumVersions).sort());
    const pins = readFileSync(join(projectRoot(), 'requirements.txt'), 'utf8');
    for (const [name, oldest] of Object.entries(minimumVersions)) {
      const pin = new RegExp(`^${name}==(\\S+)`, 'm').exec(pins)?.[1] ?? '0';
      expect(compareVersions(pin, oldest), name).toBeGreaterThanOrEqual(0);
    }
  });
});
