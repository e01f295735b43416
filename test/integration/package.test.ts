import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findPython } from '../../src/python/find.ts';
import { temporaryFolder } from '../support/python-environments.ts';

const root = join(import.meta.dirname, '..', '..');

test('the tarball of npm pack, installed in an empty folder, runs tms doctor', async () => {
  const folder = temporaryFolder();
  const python = await findPython();
  npm(root, 'pack', '--pack-destination', folder);
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz')) ?? '';
  writeFileSync(join(folder, 'package.json'), '{"private": true}');
  npm(folder, 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${tarball}`);
  const installed = join(folder, 'node_modules', 'tms');
  for (const file of [
    'requirements.txt',
    'requirements-vllm.txt',
    'py_worker/side.py',
    'dist/index.js',
    'scripts/prepare.mjs',
  ]) {
    expect(existsSync(join(installed, file)), file).toBe(true);
  }
  expect(readdirSync(installed)).not.toContain('src');

  const env = { ...process.env, TMS_PYTHON: python.path };
  const doctor = spawnSync(join(folder, 'node_modules', '.bin', 'tms'), ['doctor', '--json'], {
    cwd: folder,
    env,
    encoding: 'utf8',
  });
  expect(doctor.stderr).toBe('');
  expect(JSON.parse(doctor.stdout)).toMatchObject({
    ok: true,
    tms: { root: installed },
    python: { path: python.path, source: 'variable', environment: { torch: expect.any(Object) } },
    problems: [],
  });
  expect(doctor.status).toBe(0);
});

function npm(cwd: string, ...args: string[]): void {
  const { status, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  expect(status, `npm ${args.join(' ')}\n${stderr}`).toBe(0);
}
