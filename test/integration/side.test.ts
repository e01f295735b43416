import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { lazySide } from '../../src/python/lazy-side.ts';
import { openSide, PythonError, PythonGone, type Side } from '../../src/python/side.ts';
import { supportedPython } from '../support/python-environments.ts';

const shim = join(import.meta.dirname, '..', 'fixtures', 'python', 'side_probe.py');
const python = supportedPython();

let side: Side;
beforeEach(async () => {
  side = await openSide({ python, shim });
});
afterEach(() => side.close());

describe('values', () => {
  test('NaN, infinities and large integers arrive as strings, tuples as lists', async () => {
    expect(await side.call('numbers', {}, z.unknown())).toEqual({
      nan: 'nan',
      infinity: ['-inf'],
      large: '1152921504606846976',
      tuple: [1, 2.5],
    });
  });

  test('arguments arrive as they were sent, whatever pythonia makes of such objects', async () => {
    const value = { ffid: 1, '4bit': true, text: 'größe 🙂', list: [3.5, null], r: 2 };
    expect(await side.call('echo', { value }, z.unknown())).toEqual(value);
  });

  test('bytes are a clear error that names where they are, and the process lives on', async () => {
    const failure = await side.call('raw_bytes', {}, z.unknown()).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(PythonError);
    expect((failure as PythonError).message).toContain('result.tensor is bytes');
    expect(await side.call('echo', { value: 1 }, z.number())).toBe(1);
  });

  test('a result of another shape than was agreed is refused with its path', async () => {
    const wrong = side.call('echo', { value: { count: 'three' } }, z.object({ count: z.number() }));
    await expect(wrong).rejects.toThrow(/count/);
  });
});

describe('failures', () => {
  test('a Python exception has its class, its message and its trace', async () => {
    const failure = await side.call('fail', { path: '/data' }, z.unknown()).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      message: 'Python fail: FileNotFoundError: no such file: /data',
      type: 'FileNotFoundError',
      trace: expect.stringContaining('side_probe.py'),
    });
  });

  test('a package of an extra that is not there: what, where, and the command that adds it', async () => {
    await expect(side.call('use', { package: 'golden_apple' }, z.string())).rejects.toMatchObject({
      message: `the Python package golden_apple is not installed in ${python}`,
      fix: expect.stringMatching(
        /-m pip install -c .*requirements\.txt -r .*requirements-extra-apples\.txt$/,
      ),
    });
    expect(await side.call('use', { package: 'json' }, z.string())).toContain('json');
  });

  test('death in mid-call rejects this call and all later ones', async () => {
    await expect(side.call('die', {}, z.unknown())).rejects.toThrow(PythonGone);
    await expect(side.call('echo', { value: 1 }, z.unknown())).rejects.toThrow('ended (3)');
    await side.close();
    side = await openSide({ python, shim });
    expect(await side.call('echo', { value: 2 }, z.number())).toBe(2);
  });

  test('closing ends the process, rejects what is under way, and may be repeated', async () => {
    const pid = await side.call('pid', {}, z.number());
    const underWay = side.call('echo', { value: 1 }, z.unknown());
    const outcome = underWay.catch((error: unknown) => error);
    await Promise.all([side.close(), side.close()]);
    await outcome;
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await expect(side.call('echo', { value: 1 }, z.unknown())).rejects.toThrow(PythonGone);
  });

  test('one that is started when it is asked starts nothing before; a signal or its end closes it for good', async () => {
    const unused = lazySide(shim, { python: '/nowhere/python' });
    await unused.close();
    await expect(unused.call('echo', {}, z.unknown())).rejects.toThrow('was closed');
    const controller = new AbortController();
    const stopped = lazySide(shim, { python: '/nowhere/python', signal: controller.signal });
    controller.abort(new Error('stop'));
    await expect(stopped.call('echo', { value: 1 }, z.number())).rejects.toThrow('stop');
  });

  test('a shim that cannot be loaded says why', async () => {
    await side.close();
    const opening = openSide({ python, shim: '/nowhere/side.py' });
    await expect(opening).rejects.toThrow(/cannot load the Python side[\s\S]*No such file/);
  });

  test('a second one with the same Python shares the process, which lives until both are closed', async () => {
    const second = await openSide({ python, shim });
    const pid = await second.call('pid', {}, z.number());
    expect(await side.call('pid', {}, z.number())).toBe(pid);
    await side.close();
    expect(await second.call('pid', {}, z.number())).toBe(pid);
    await second.close();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    side = await openSide({ python, shim });
    expect(await side.call('pid', {}, z.number())).not.toBe(pid);
  });

  test('a second process at the same time is refused', async () => {
    await expect(openSide({ python, shim, cuda: true })).rejects.toThrow('open already');
  });
});

describe('surroundings', () => {
  test('the GPUs are hidden from it, and our own environment is left as it was', async () => {
    const before = process.env.CUDA_VISIBLE_DEVICES;
    expect(await side.call('variable', { name: 'CUDA_VISIBLE_DEVICES' }, z.string())).toBe('');
    expect(await side.call('variable', { name: 'OMP_WAIT_POLICY' }, z.string())).not.toBe('');
    expect(process.env.CUDA_VISIBLE_DEVICES).toBe(before);
    expect(process.env.PYTHON_BIN).toBeUndefined();
  });

  test('a program that uses it keeps its stdout, ends, and leaves no process', () => {
    const program = `
      import { z } from 'zod';
      import { openSide } from './src/python/side.ts';
      const side = await openSide({ python: ${JSON.stringify(python)}, shim: ${JSON.stringify(shim)} });
      await side.call('chatter', {}, z.string());
      console.log(await side.call('pid', {}, z.number()));
      await side.close();`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
    const root = join(import.meta.dirname, '..', '..');
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+\n$/);
    expect(stderr).toContain('this must not reach stdout');
    expect(() => process.kill(Number(stdout), 0)).toThrow('ESRCH');
  });
});
