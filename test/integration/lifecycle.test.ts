/** What happens when a worker dies, hangs, fills the disk, runs out of memory or loses its parent: real processes throughout. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { isAlive } from '../../src/files/temporary-name.ts';
import { projectRoot } from '../../src/python/paths.ts';
import { Connection } from '../../src/worker/connection.ts';
import { Worker } from '../../src/worker/worker.ts';
import { pythonPath, tinyModel } from '../support/tiny-model.ts';

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 }); // on a loaded machine a worker takes minutes to import torch
const root = projectRoot();
let python: string;
let model: string;
let directory: string;
const open: Connection[] = [];

beforeAll(async () => {
  python = await pythonPath();
  model = await tinyModel();
  directory = mkdtempSync(join(tmpdir(), 'lifecycle-'));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(connection => connection.close()));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function start(options: Partial<Parameters<typeof Connection.open>[0]> = {}) {
  const connection = await Connection.open({ python, root, ...options });
  open.push(connection);
  return { connection, worker: new Worker(connection), pid: connection.pid };
}

async function startLoaded(options: Parameters<typeof start>[0] = {}) {
  const started = await start(options);
  await started.worker.load({ model });
  return started;
}

/** A command that starts Python as a child of its own, as `srun` or `conda run` do. */
function wrapper(path: string): string {
  const file = join(directory, 'wrapper');
  writeFileSync(file, `#!/bin/sh\n"${path}" "$@"\nexit $?\n`, { mode: 0o755 });
  return file;
}

/** Set a resource limit of a running process, as `ulimit` cannot. */
function limit(pid: number, resource: 'RLIMIT_AS' | 'RLIMIT_FSIZE', bytes: number): void {
  const code = `import resource as r; r.prlimit(${pid}, r.${resource}, (${bytes}, -1))`;
  execFileSync(python, ['-c', code]);
}

const sequence = { ids: [1, 5, 6, 7], ce: [0, 1, 1, 1] };
const verbs: [string, (worker: Worker) => Promise<unknown>][] = [
  ['load', worker => worker.load({ model })],
  ['encode', worker => worker.encode([{ prompt: 'a', completion: 'b' }])],
  ['decode', worker => worker.decode([[5]])],
  ['forward', worker => worker.forward([[1, 5]])],
  ['forwardBackward', worker => worker.forwardBackward([sequence])],
  ['optimStep', worker => worker.optimStep({ adamw: { learningRate: 1e-3 } })],
  ['generate', worker => worker.generate([[1]], { maxNewTokens: 8 })],
  ['save', worker => worker.save(join(directory, 'never'))],
  ['status', worker => worker.status()],
];

describe('a worker that dies', () => {
  it('rejects every pending verb with WORKER_DIED, and its successor gets none of the requests', async () => {
    const { worker, pid } = await startLoaded();
    await worker.forwardBackward([sequence]);
    process.kill(pid, 'SIGSTOP'); // every request is now certainly unanswered
    const lost = worker.forwardBackward([sequence]);
    const pending = verbs.map(([verb, call]) => ({ verb, outcome: call(worker) }));
    process.kill(pid, 'SIGKILL');
    for (const { verb, outcome } of pending)
      await expect(outcome, verb).rejects.toMatchObject({
        code: 'WORKER_DIED',
        verb,
        message: /killed by SIGKILL.*memory/,
      });
    await expect(worker.status()).rejects.toMatchObject({ code: 'WORKER_DIED' });
    expect(existsSync(join(directory, 'never'))).toBe(false);

    const successor = await startLoaded();
    const step = successor.worker.optimStep({ adamw: { learningRate: 1 }, dependsOn: [lost] });
    await expect(step).rejects.toMatchObject({ code: 'DEPENDENCY_FAILED' });
  });

  it('leaves nothing half-written that could be loaded when it dies while saving', async () => {
    const { worker, pid } = await startLoaded();
    const path = join(directory, 'killed-save');
    const saving = worker.save(path, { kind: 'trainingState' });
    // The first file of it is on disk, unless it was too quick to be seen.
    const isDone = saving.then(
      () => true,
      () => true,
    );
    const seen = () => readdirSync(directory).some(name => name.startsWith('killed-save'));
    while (!seen() && !(await Promise.race([isDone, pause(0, false)])));
    process.kill(pid, 'SIGKILL');
    const outcome = await saving.catch((error: unknown) => error);
    if (existsSync(path)) {
      const load = (await start()).worker.load({ model: path, restoreTrainingState: true });
      await expect(load).resolves.toMatchObject({ architecture: 'LlamaForCausalLM' });
    } else expect(outcome).toMatchObject({ code: 'WORKER_DIED' });
  });
});

describe('a worker that hangs', () => {
  it('is noticed by its missing pongs, ended, and named stuck', async () => {
    const { worker, pid } = await start({ pingIntervalSeconds: 2, pingMisses: 3 });
    process.kill(pid, 'SIGSTOP');
    await expect(worker.status()).rejects.toMatchObject({ code: 'WORKER_STUCK', message: /3 pings, 6 s/ });
    await expect.poll(() => isAlive(pid), { timeout: 300_000 }).toBe(false);
  });
});

describe('a request that does nothing', () => {
  it('is noticed although pings are answered, and named with its place', async () => {
    const wedged = join(directory, 'wedged');
    mkdirSync(join(wedged, 'torch'), { recursive: true });
    writeFileSync(join(wedged, 'torch/__init__.py'), 'import threading\nthreading.Event().wait()\n');
    const { worker, pid } = await start({
      root: `${wedged}:${root}`,
      pingIntervalSeconds: 1,
      idleSeconds: 6,
    });
    await expect(worker.status()).rejects.toMatchObject({
      code: 'WORKER_STUCK',
      message: /done nothing for \d+ s in .*; it waits in .*wait/,
    });
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('a loaded worker', () => {
  let worker: Worker;
  let pid: number;
  beforeAll(async () => {
    const connection = await Connection.open({ python, root });
    worker = new Worker(connection);
    pid = connection.pid;
    await worker.load({ model, tokenBudget: 1_000_000 }); // one micro-batch, however large
  });
  afterAll(() => worker.close());

  it('ends a request at its deadline and goes on with the next', async () => {
    const prompts = Array.from({ length: 64 }, () => [1, 5]);
    const slow = worker.generate(prompts, { maxNewTokens: 100, stopIds: [], timeoutSeconds: 0.05 });
    await expect(slow).rejects.toMatchObject({ code: 'TIMEOUT', verb: 'generate' });
    expect((await worker.forward([[1, 5]])).logprobs[0]?.length).toBe(2);
  });

  it('fails a request that finds no memory with OOM, and answers the next as before', async () => {
    const { residentBytes } = await worker.status();
    const before = await worker.forward([[1, 5, 6]]);
    limit(pid, 'RLIMIT_AS', residentBytes); // far below what is mapped: no new memory at all
    const rows = Array.from({ length: 4000 }, () => Array.from({ length: 100 }, (_, i) => 5 + (i % 20)));
    await expect(worker.forward(rows, { returnEntropy: true })).rejects.toMatchObject({
      code: 'OOM',
      verb: 'forward',
    });
    limit(pid, 'RLIMIT_AS', -1);
    expect(await worker.forward([[1, 5, 6]])).toEqual(before);
  });

  it('never hangs for lack of memory: each verb fails with OOM, or had enough', async () => {
    const rows = Array.from({ length: 400 }, () => Array.from({ length: 100 }, (_, i) => 5 + (i % 20)));
    const learned = rows.map(ids => ({ ids, ce: ids.map((_, i) => Math.min(i, 1)) }));
    const { residentBytes } = await worker.status();
    limit(pid, 'RLIMIT_AS', residentBytes);
    const refused = expect.objectContaining({ code: 'OOM' });
    await expect(worker.forwardBackward(learned)).rejects.toEqual(refused);
    await expect(worker.generate(rows, { maxNewTokens: 20 })).rejects.toEqual(refused);
    const saved = await worker
      .save(join(directory, 'short'), { kind: 'trainingState' })
      .catch(error => error);
    expect(saved).toEqual(existsSync(join(directory, 'short')) ? expect.anything() : refused);
    await expect(worker.load({ model })).rejects.toEqual(refused);
    limit(pid, 'RLIMIT_AS', -1);
    await worker.load({ model, tokenBudget: 1_000_000 });
    expect((await worker.forward([[1, 5]])).logprobs[0]?.length).toBe(2);
  });

  it('fails a save on a full disk, leaves no file, and saves later', async () => {
    const folder = join(directory, 'full');
    mkdirSync(folder);
    limit(pid, 'RLIMIT_FSIZE', 4096);
    await expect(worker.save(join(folder, 'model'))).rejects.toMatchObject({ code: 'SAVE_FAILED' });
    expect(readdirSync(folder)).toEqual([]);
    limit(pid, 'RLIMIT_FSIZE', -1);
    await worker.save(join(folder, 'model'));
    expect(readdirSync(folder)).toEqual(['model']);
  });

  it('that a library ends for lack of memory is OOM too', async () => {
    const { residentBytes } = await worker.status();
    limit(pid, 'RLIMIT_AS', residentBytes);
    const long = Array.from({ length: 300 }, (_, i) => ({ prompt: `${i}`.repeat(2000), completion: 'b' }));
    await expect(worker.encode(long)).rejects.toMatchObject({ code: 'OOM' });
  });
});

describe('no orphans', () => {
  it.each([
    ['Python itself', (path: string) => path],
    ['a wrapper that waits for Python', wrapper],
  ])('a worker started as %s is gone after the SIGKILL of its client', async (_, command) => {
    const options = { python: command(python), root };
    const script = `import { Connection } from ${JSON.stringify(join(root, 'src/index.ts'))};
      const worker = await Connection.open(${JSON.stringify(options)});
      console.log(worker.pid);
      setInterval(() => {}, 1000);`;
    const program = join(directory, 'client.mts');
    writeFileSync(program, script);
    const client = spawn('npx', ['tsx', program], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const [line] = await new Promise<string[]>(resolve => {
      createInterface({ input: client.stdout }).once('line', text => resolve([text]));
    });
    const pid = Number(line);
    expect(isAlive(pid)).toBe(true);
    process.kill(-(client.pid ?? 0), 'SIGKILL');
    await expect.poll(() => isAlive(-pid), { timeout: 300_000 }).toBe(false); // its whole group
  });

  it('close ends the worker and removes its socket; twice is fine', async () => {
    const runtime = mkdtempSync(join(directory, 'run-'));
    vi.stubEnv('XDG_RUNTIME_DIR', runtime);
    onTestFinished(() => void vi.unstubAllEnvs());
    const { connection, pid } = await start();
    expect(readdirSync(join(runtime, 'tms'))).toHaveLength(1);
    await connection.close();
    await connection.close();
    expect(isAlive(pid)).toBe(false);
    expect(readdirSync(join(runtime, 'tms'))).toEqual([]);
  });
});

describe('a Python that cannot run the worker', () => {
  it('which is not there is SPAWN_FAILED', async () => {
    await expect(start({ python: join(directory, 'no-python') })).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: /no-python could not be started: spawn .* ENOENT/,
      fix: /tms doctor/,
    });
  });

  it('without the packages of the bridge is SPAWN_FAILED with its last words', async () => {
    const bare = join(directory, 'bare');
    execFileSync(python, ['-m', 'venv', '--without-pip', bare]);
    await expect(start({ python: join(bare, 'bin/python') })).rejects.toMatchObject({
      code: 'SPAWN_FAILED',
      message: /exit code 1.*No module named '(msgspec|zmq)'/s,
    });
  });

  it('without torch is welcomed, and each request says what is missing and what to run', async () => {
    const poor = join(directory, 'poor');
    mkdirSync(join(poor, 'torch'), { recursive: true });
    execFileSync('sh', [
      '-c',
      `echo 'raise ModuleNotFoundError("No module named torch")' > ${poor}/torch/__init__.py`,
    ]);
    const { worker } = await start({ root: `${poor}:${root}` });
    await expect(worker.status()).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: /No module named torch in .*run `tms setup`/,
    });
  });
});
