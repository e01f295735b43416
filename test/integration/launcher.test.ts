/** Workers that a launcher places: on this machine, and by a real Ray cluster of two nodes where Ray is installed (`npx tms setup --with ray`). */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { isAlive } from '../../src/files/temporary-name.ts';
import { projectRoot } from '../../src/python/paths.ts';
import type { Connection } from '../../src/worker/connection.ts';
import { type LaunchOptions, launch } from '../../src/worker/launcher.ts';
import { Worker } from '../../src/worker/worker.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { pythonPath } from '../support/tiny-model.ts';

const root = projectRoot();
const standIn = join(root, 'test/py_worker/stand_in.py');
const rayPython = (await hasRay(await pythonPath())) ? await pythonPath() : undefined;

async function place(options: Partial<LaunchOptions> = {}) {
  const python = options.python ?? (await pythonPath());
  const launched = launch({
    engine: 'local',
    address: 'auto',
    count: 2,
    gpus: 0,
    python,
    root,
    shared: [temporaryDirectory()],
    command: [python, standIn],
    ...options,
  });
  onTestFinished(() => launched.close());
  return launched;
}

const connectAll = async (launched: Awaited<ReturnType<typeof place>>, count: number) =>
  Promise.all(Array.from({ length: count }, (_, i) => launched.connect(i)));
const works = (connection: Connection) => new Worker(connection).decode([[5]]);

describe('the local launcher', () => {
  it('starts workers, tells of the one that dies, and leaves none behind', async () => {
    const launched = await place();
    const [one, other] = (await connectAll(launched, 2)) as [Connection, Connection];
    expect(launched.nodes()).toEqual(['127.0.0.1', '127.0.0.1']);
    expect(await Promise.all([works(one), works(other)])).toEqual([['here'], ['here']]);
    const pending = new Worker(one).status();
    process.kill(one.pid, 'SIGKILL');
    await expect(pending).rejects.toMatchObject({ code: 'WORKER_DIED' });
    expect(await works(other)).toEqual(['here']);
    await launched.close();
    await expect.poll(() => isAlive(other.pid)).toBe(false);
  });

  it('says why a worker does not start, with its last words', async () => {
    const launched = await place({
      count: 1,
      command: [await pythonPath(), '-c', 'raise SystemExit("no such thing")'],
    });
    await expect(launched.connect(0)).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: /sampler 1 is lost: the worker ended with exit code 1 before it listened: no such thing/,
    });
  });

  it.skipIf(rayPython !== undefined)('of Ray without Ray says how to get it', async () => {
    const launched = await place({ engine: 'ray', count: 1 });
    await expect(launched.connect(0)).rejects.toMatchObject({
      message: /ray: No module named 'ray'/,
      fix: 'npx tms setup --with ray',
    });
  });
});

describe.skipIf(rayPython === undefined)('a Ray cluster of two nodes', () => {
  let cluster: ChildProcess;
  let address: string;
  const said: string[] = [];
  const nextLine = async () => {
    while (said.length === 0) await once(cluster.stdout as NodeJS.ReadableStream, 'data');
    return said.shift() as string;
  };

  beforeAll(async () => {
    cluster = spawn(rayPython as string, [join(root, 'test/support/ray_cluster.py')], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER: '1' },
    });
    const lines = createInterface({ input: cluster.stdout as NodeJS.ReadableStream });
    const first = once(lines, 'line') as Promise<[string]>;
    lines.on('line', line => said.push(line));
    [address] = await first;
    said.length = 0;
  });
  afterAll(async () => {
    cluster.stdin?.end();
    await once(cluster, 'exit');
  });

  const onRay = (options: Partial<LaunchOptions>) =>
    place({ engine: 'ray', python: rayPython as string, address, ...options });

  it('refuses what it has no room for', async () => {
    const launched = await onRay({ count: 9, timeoutSeconds: 3 });
    await expect(launched.connect(0)).rejects.toMatchObject({ message: /no room for 9 workers/ });
  });

  it('leaves no worker when the launcher is killed', async () => {
    const launched = await onRay({ count: 1 });
    const connection = await launched.connect(0);
    const launcher = childrenOf(process.pid).find(pid => commandOf(pid).includes('ray_launcher')) as number;
    process.kill(launcher, 'SIGKILL');
    await expect.poll(() => isAlive(connection.pid), { timeout: 30_000 }).toBe(false);
  });

  it('goes on with who is left when a worker is killed and a node is lost', async () => {
    const launched = await onRay({ count: 4 });
    const connections = await connectAll(launched, 4);
    expect(await Promise.all(connections.map(works))).toEqual(Array(4).fill(['here']));
    const first = connections[0] as Connection;
    const pending = connections.map(connection => new Worker(connection).status().catch(error => error.code));
    process.kill(first.pid, 'SIGKILL');
    expect(await pending[0]).toBe('WORKER_DIED');
    cluster.stdin?.write('\n');
    expect(await nextLine()).toBe('removed');
    const ends = await Promise.all(
      pending.map(async end =>
        Promise.race([end, new Promise(resolve => setTimeout(resolve, 5000, 'lives'))]),
      ),
    );
    expect(ends.filter(end => end === 'WORKER_DIED').length).toBeGreaterThanOrEqual(2);
    expect(ends).toContain('lives');
    await launched.close();
    await expect.poll(() => connections.some(({ pid }) => isAlive(pid)), { timeout: 30_000 }).toBe(false);
  });
});

function childrenOf(pid: number): number[] {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', `${pid}`], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
    .map(Number);
}

function commandOf(pid: number): string {
  return execFileSync('ps', ['-o', 'args=', '-p', `${pid}`], { encoding: 'utf8' });
}

async function hasRay(python: string): Promise<boolean> {
  return promisify(execFile)(python, ['-c', 'import importlib.util as u; assert u.find_spec("ray")']).then(
    () => true,
    () => false,
  );
}
