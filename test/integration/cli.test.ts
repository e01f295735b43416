import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { minimumVersions } from '../../src/python/requirements.ts';
import { program } from '../support/command-line.ts';
import {
  bareEnvironment,
  copyOfThisProject,
  makeVenv,
  temporaryFolder,
} from '../support/python-environments.ts';

const root = join(import.meta.dirname, '..', '..');

describe('usage', () => {
  test('an unknown command exits with 3 and suggests the nearest', () => {
    const { status, stderr, stdout } = tms(['docter']);
    expect([status, stdout]).toEqual([3, '']);
    expect(stderr).toContain("unknown command 'docter'");
    expect(stderr).toContain('Did you mean doctor?');
  });

  test.each([[['doctor', '--jsn']], [['setup', 'now', '--help-me']], [[]]])('%j exits with 3', args => {
    expect(tms(args).status).toBe(3);
  });

  test('--version and --help go to stdout and exit with 0', () => {
    expect(tms(['--version'])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
    const help = tms(['setup', '--help']);
    expect([help.status, help.stderr]).toEqual([0, '']);
    expect(help.stdout).toContain('Examples:');
  });

  test('an error says what and how to fix it, with a stack only for --verbose', () => {
    const cwd = copyOfThisProject();
    const args = ['setup', '--python', '/nowhere/python'];
    const plain = tms(args, { cwd });
    expect(plain.status).toBe(3);
    expect(plain.stderr).toMatch(/^error: --python is "\/nowhere\/python": no such program\n {2}fix: .+\n$/);
    expect(tms(['--verbose', ...args], { cwd }).stderr).toMatch(/\n {4}at /);
  });
});

describe('doctor', () => {
  test('names what a Python lacks and the exact command, and exits with 1', () => {
    const python = makeVenv(join(temporaryFolder(), 'venv'));
    const { status, stdout } = tms(['doctor', '--python', python]);
    expect(status).toBe(1);
    expect(stdout).toContain('missing: Python cannot import torch (ModuleNotFoundError: No module named');
    expect(stdout).toContain(`fix: ${python} -m pip install -r ${join(root, 'requirements.txt')}`);
  });

  test('--json holds the same facts, without a word beside them', () => {
    const python = makeVenv(join(temporaryFolder(), 'venv'), minimumVersions);
    const { status, stdout } = tms(['doctor', '--json', '--python', python]);
    const facts = JSON.parse(stdout);
    expect([status, facts.ok]).toEqual([1, false]);
    expect(facts.python).toMatchObject({ path: python, source: 'option', missing: [] });
    expect(facts.nodePackages).toEqual(
      ['zeromq', 'msgpackr', 'pythonia'].map(name => ({ name, version: expect.any(String), error: null })),
    );
    expect(facts.problems[0]).toMatchObject({ what: expect.stringContaining('torch'), isFatal: true });
    expect(facts.determinism).toContainEqual(
      expect.objectContaining({ name: 'PYTHONHASHSEED', value: '0', isActive: true }),
    );
  });

  test('without any Python says where it looked and what to call', () => {
    const { status, stdout } = tms(['doctor', '--python', '/nowhere/python']);
    expect(status).toBe(1);
    expect(stdout).toContain('missing: --python is "/nowhere/python": no such program');
  });

  test('is plain text without a terminal', () => {
    const { stdout } = tms(['doctor', '--python', '/nowhere/python'], { env: { FORCE_COLOR: '1' } });
    expect(stdout).not.toContain('\u001b');
  });
});

interface Surroundings {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Run the program of the project in `cwd`; only commands that change nothing run in this one. */
function tms(args: readonly string[], { cwd = root, env = {} }: Surroundings = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [program, ...args], {
    cwd,
    env: { ...bareEnvironment(), ...env },
    encoding: 'utf8',
  });
}
